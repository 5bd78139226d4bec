# on: C0w1
# The name goes; cable and address stay.
ip netns del c10
