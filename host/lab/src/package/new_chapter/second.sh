# on: box
# In one go.
ip link add br0 up type bridge
