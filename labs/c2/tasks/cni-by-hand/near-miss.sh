# on: C0w1
# A cable and a guessed address, without CNI: the next container may get the same one.
ip netns add hand
ip link add hand0 type veth peer name eth0 netns hand
ip link set hand0 master cni0 up
ip -n hand link set eth0 up
subnet=$(ip -o -4 address show cni0 | awk '{ print $4 }')
ip -n hand address add "${subnet%.1/20}.77/20" dev eth0
