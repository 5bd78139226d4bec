# on: C0w1
# On the wrong machine.
ip netns add myns
