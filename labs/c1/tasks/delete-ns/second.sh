# on: box
# What `ip netns del` does.
umount /run/netns/myns
rm /run/netns/myns
