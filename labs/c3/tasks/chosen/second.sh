# on: base
# By hand, and then what kube-proxy does on each worker: the coin has one side left.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
on C0w2 env CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2 cnitool del C0w2 /var/run/netns/web1
on C0w2 ip netns del web1
address=$(on C0w3 ip netns exec web2 hostname -I | tr -d ' ')
for worker in C0w1 C0w2 C0w3; do
    rules=$(on $worker nft list table ip kube-proxy)
    service=$(grep -o 'chain service-[^ ]*/chosen/any/' <<<"$rules" | cut -d' ' -f2)
    endpoint=$(grep -o "chain endpoint-[^ ]*/chosen/any/__$address/any" <<<"$rules" | cut -d' ' -f2)
    on $worker nft "flush chain ip kube-proxy $service; add rule ip kube-proxy $service goto $endpoint"
done
for _ in {1..5}; do on C0w1 ip netns exec c1 ping -c 1 100.64.10.2; done
