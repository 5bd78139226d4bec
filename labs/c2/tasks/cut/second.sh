# on: C0w1
# The entry leads to the wrong worker instead. The hardware address as etcd has it.
mac=$(etcdctl --endpoints=http://10.1.0.1:2379 get --prefix /coreos.com/network/subnets/ |
    grep '"PublicIP":"10.0.0.4"' | sed 's/.*"VtepMAC":"\([^"]*\)".*/\1/')
bridge fdb replace "$mac" dev flannel.100 dst 10.0.0.5
# in: a second terminal
knetsim exec C0w1.c1 -- ping -c 1 -W 1 "$(knetsim exec C0w2.c2 -- hostname -I | tr -d ' ')" || true
