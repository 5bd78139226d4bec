# on: box
# A namespace of another name.
ip netns add mime
