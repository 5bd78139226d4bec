# on: C0w1
# By the plugin itself, as a runtime calls it.
ip netns add c4
export CNI_COMMAND=ADD CNI_CONTAINERID=c4 CNI_NETNS=/run/netns/c4 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin
echo '{ "cniVersion": "1.0.0", "name": "C0w1", "type": "flannel", "delegate": { "isDefaultGateway": true } }' |
    /opt/cni/bin/flannel
