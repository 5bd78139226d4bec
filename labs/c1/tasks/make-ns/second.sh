# on: box
# What `ip netns add` does: a namespace, held by a file.
touch /run/netns/myns
unshare --net=/run/netns/myns true
