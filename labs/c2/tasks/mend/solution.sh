# in: a second terminal
# C0w2's end of the tunnel. Its hardware address is `VtepMAC` in etcd.
knetsim exec C0w2 -- ip -brief link show flannel.100
mac=$(knetsim exec C0w2 -- ip -brief link show flannel.100 | awk '{ print $3 }')
knetsim exec C0w1 -- bridge fdb replace $mac dev flannel.100 dst 10.0.0.4
# c2 answers as before.
c2=$(knetsim exec C0w2.c2 -- hostname -I)
knetsim exec C0w1.c1 -- ping -c 2 $c2
