# on: C0w1
# Without cnitool: the plugin, its variables, its configuration.
ip netns add hand
export CNI_COMMAND=ADD CNI_CONTAINERID=mine CNI_NETNS=/run/netns/hand CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin
echo '{ "cniVersion": "1.0.0", "name": "C0w1", "type": "flannel", "delegate": { "isDefaultGateway": true } }' |
    /opt/cni/bin/flannel
