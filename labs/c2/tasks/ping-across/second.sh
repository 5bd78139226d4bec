# on: C0w1
# c2 is the first container of its worker, so it has the first address after the gateway's.
subnet=$(etcdctl --endpoints=http://10.1.0.1:2379 get --prefix /coreos.com/network/subnets/ |
    grep -B1 '"PublicIP":"10.0.0.4"' | sed -n 's|.*/subnets/\(.*\)\.0-20|\1|p')
ip netns exec c1 ping -c 1 "$subnet.2"
