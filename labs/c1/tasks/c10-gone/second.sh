# on: C0w1
# What a runtime does: DEL, by the container's id, of the plugin in the configuration.
export CNI_COMMAND=DEL CNI_CONTAINERID=c10 CNI_NETNS=/run/netns/c10 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin
echo '{ "cniVersion": "1.0.0", "name": "C0w1", "type": "flannel", "delegate": { "isDefaultGateway": true } }' |
    /opt/cni/bin/flannel
ip netns del c10
