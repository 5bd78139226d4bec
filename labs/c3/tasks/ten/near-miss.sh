# on: C0w1
# Ten requests over one connection, and more without the service between.
vip=100.64.10.3
ip netns exec c1 curl -s $vip $vip $vip $vip $vip $vip $vip $vip $vip $vip
for pod in $(nft list table ip kube-proxy | grep -o 'dnat to .*:8000' | cut -d' ' -f3); do
    for _ in {1..5}; do ip netns exec c1 curl -s "$pod"; done
done
