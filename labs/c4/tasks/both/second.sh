# on: C0w1
# From the worker, in the container's network.
for _ in {1..40}; do ip netns exec c1 curl -s 100.64.11.1:8000; done
