# on: C0w1
# With the hardware address of the wrong interface: eth0 of C0w2.
ping -c 1 C0w2
bridge fdb add "$(ip neighbour show 10.0.0.4 dev eth0 | awk '{ print $3 }')" dev flannel.100 dst 10.0.0.4
