# on: box
# A name is a file with a namespace bound to it.
mkdir -p /run/netns
touch /run/netns/mine
unshare --net=/run/netns/mine true
