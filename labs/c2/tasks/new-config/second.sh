# on: base
# What flannel's daemons and the runtime do, worker by worker.
etcd=http://10.2.0.1:2379
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
cni() { # add|del WORKER CONTAINER
    on "$2" env CNI_PATH=/opt/cni/bin NETCONFPATH="/tmp/knetsim/$2" cnitool "$1" "$2" "/var/run/netns/$3"
}

on C1w1 etcdctl --endpoints=$etcd put /coreos.com/network/config '{ "Network": "11.0.0.0/8", "SubnetLen": 24,
  "SubnetMin": "11.100.0.0", "SubnetMax": "11.199.0.0", "Backend": { "Type": "vxlan", "VNI": 200, "Port": 8472 } }'

declare -A mac
for n in 1 2 3; do # tunnel, lease, subnet.env, and the container anew
    worker=C1w$n address=10.0.0.$((7 + n)) subnet=11.100.$n
    cni del $worker c$n
    on $worker ip link del flannel.100
    on $worker ip link del cni0
    on $worker ip link add flannel.200 type vxlan id 200 local $address dev eth0 dstport 8472 nolearning
    on $worker ip address add $subnet.0/32 dev flannel.200
    on $worker ip link set flannel.200 mtu 1450 up
    mac[$n]=$(on $worker ip -o link show flannel.200 | sed 's/.*ether \([^ ]*\).*/\1/')
    lease='{"PublicIP":"%s","BackendType":"vxlan","BackendData":{"VNI":200,"VtepMAC":"%s"}}'
    # shellcheck disable=SC2059
    on $worker etcdctl --endpoints=$etcd put /coreos.com/network/subnets/$subnet.0-24 \
        "$(printf "$lease" $address "${mac[$n]}")"
    printf '%s\n' FLANNEL_NETWORK=11.0.0.0/8 FLANNEL_SUBNET=$subnet.1/24 FLANNEL_MTU=1450 FLANNEL_IPMASQ=false |
        on $worker tee /run/flannel/subnet.env
    cni add $worker c$n
done
for n in 1 2 3; do # the three entries for each of the others
    for other in 1 2 3; do
        [ $n = $other ] && continue
        on C1w$n ip neighbour replace 11.100.$other.0 lladdr "${mac[$other]}" dev flannel.200 nud permanent
        on C1w$n bridge fdb append "${mac[$other]}" dev flannel.200 dst 10.0.0.$((7 + other))
        on C1w$n ip route replace 11.100.$other.0/24 via 11.100.$other.0 dev flannel.200 onlink
    done
done
