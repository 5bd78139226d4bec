# on: C0w1
# One run after the other, from outside of the container's shell.
for _ in {1..40}; do ip netns exec c1 ping -c 1 100.64.10.1; done
