# on: base
# In a second terminal: knetsim delete container C0w2.web1
# Here by CNI, and then what kube-proxy does on each worker: the coin has
# one side left.
on() {
    local node=$(pgrep -f "^knetsim: $1 *\$")
    nsenter --net --mount --uts -t "$node" "${@:2}"
}
export CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2
on C0w2 cnitool del C0w2 /var/run/netns/web1
on C0w2 ip netns del web1
left=$(on C0w3 ip netns exec web2 hostname -I | tr -d ' ')
for worker in C0w1 C0w2 C0w3; do
    table=$(on $worker nft list table ip kube-proxy)
    chains=$(awk '/chain/ { print $2 }' <<<"$table")
    service=$(grep '^service-.*/chosen/' <<<"$chains")
    endpoint=$(grep "^endpoint-.*/chosen/any/__$left/" <<<"$chains")
    on $worker nft flush chain ip kube-proxy "$service"
    on $worker nft add rule ip kube-proxy "$service" goto "$endpoint"
done
for _ in {1..5}; do
    on C0w1 ip netns exec c1 ping -c 1 100.64.10.2
done
