# on: box
# A bridge of another name.
ip link add br1 up type bridge
