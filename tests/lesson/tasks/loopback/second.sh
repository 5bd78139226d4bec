# on: box
ip -n mine link set lo up
