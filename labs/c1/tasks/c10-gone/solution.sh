# in: a second terminal
# One that `cnitool add` made goes by the same line with `del`, and then by
# `ip netns del c10`.
knetsim delete container C0w1.c10
