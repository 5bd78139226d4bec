# on: C1e1
# Only the key: no daemon looks at it again.
etcdctl put /coreos.com/network/config '{ "Network": "11.0.0.0/8", "SubnetLen": 24,
  "SubnetMin": "11.100.0.0", "SubnetMax": "11.199.0.0", "Backend": { "Type": "vxlan", "VNI": 200, "Port": 8472 } }'
