"""Mininet's underlay of knetsim's two clusters: time to build and start it, and to stop it, as one line of JSON.

Run by knetsim-bench in network and mount namespaces of its own.
"""

import json
import sys
import time

import mininet.net
from mininet.log import setLogLevel
from mininet.node import Node
from mininet.nodelib import LinuxBridge
from mininet.topo import Topo

CLUSTERS, WORKERS = int(sys.argv[1]), int(sys.argv[2])


class Underlay(Topo):
    """A bridge for each cluster, joined by one above them; two etcd nodes and the workers on each."""

    def build(self):
        top = self.addSwitch("t0")
        for cluster in range(CLUSTERS):
            switch = self.addSwitch(f"C{cluster}s0")
            self.addLink(switch, top)
            for number in (1, 2):
                node = self.addNode(f"C{cluster}e{number}", cls=Node, ip=f"10.{cluster + 1}.0.{number}")
                self.addLink(node, switch)
            for number in range(1, WORKERS + 1):
                self.addLink(self.addNode(f"C{cluster}w{number}", cls=Node), switch)


setLogLevel("critical")
mininet.net.fixLimits = lambda: None  # it would change sysctls of the whole machine
start = time.monotonic()
net = mininet.net.Mininet(topo=Underlay(), switch=LinuxBridge, controller=None)
net.start()
up = time.monotonic()
first, last = net.get("C0w1"), net.get(f"C{CLUSTERS - 1}w{WORKERS}")
works = "1 received" in first.cmd(f"ping -c1 -W2 {last.IP()}")
before_stop = time.monotonic()
net.stop()
if not works:
    sys.exit("C0w1 can't reach the last worker")
print(json.dumps({"ms": (up - start) * 1e3, "stop_ms": (time.monotonic() - before_stop) * 1e3}))
