//! The beginning of every lab.

use std::fmt::Display;

use crate::bindings::knetsim::lab::{clusters, observe, workers};
use crate::records::{ClusterInfo, ContainerInfo, EtcdKey, History, IngressInfo, NodeInfo, ServiceInfo, SiteInfo};
use crate::{
    Capture, Cluster, Container, Ingress, IngressOptions, NewCapture, NewContainer, Result, Scratch, Service,
    ServiceOptions, Site, Target, Worker,
};

/// The sandbox that the lab runs in: makes, finds and lists what is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lab(());

impl Lab {
    /// The sandbox that the lab runs in.
    pub fn new() -> Self {
        Lab(())
    }

    /// Makes a cluster with that many workers, `<name>w1` and so on, two etcd nodes and the course's
    /// overlay. Returns when etcd answers and the routes are in. Grant: `clusters`.
    ///
    /// ```no_run
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// let lab = knetsim_sdk::Lab::new();
    /// let cluster = lab.create_cluster("C0", 3)?;
    /// println!("flannel is configured as {}", cluster.info()?.flannel);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The grant is missing, a limit is reached, a name is taken, or something failed; nothing is left then.
    pub fn create_cluster(&self, name: impl Display, workers: u32) -> Result<Cluster> {
        Ok(Cluster::new(clusters::create(&name.to_string(), workers, None)?))
    }

    /// Makes a cluster with another overlay: `flannel` is flannel's own network configuration as JSON. Grant: `clusters`.
    ///
    /// ```no_run
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// # let lab = knetsim_sdk::Lab::new();
    /// let flannel = r#"{ "Network": "10.244.0.0/16", "Backend": { "Type": "vxlan" } }"#;
    /// lab.create_cluster_with("C0", 3, flannel)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Lab::create_cluster`]; also where flannel would refuse the configuration.
    pub fn create_cluster_with(&self, name: impl Display, workers: u32, flannel: &str) -> Result<Cluster> {
        Ok(Cluster::new(clusters::create(&name.to_string(), workers, Some(flannel))?))
    }

    /// The cluster of that name. Grant: `clusters`.
    ///
    /// # Errors
    /// The grant is missing, or there is none.
    pub fn cluster(&self, name: impl Display) -> Result<Cluster> {
        Ok(Cluster::new(clusters::open(&name.to_string())?))
    }

    /// Adds a worker to the cluster that its name begins with: `C0w4`. Grant: `workers`.
    ///
    /// # Errors
    /// The grant is missing, a limit is reached, the name is taken, or something failed; nothing is left then.
    pub fn create_worker(&self, name: impl Display) -> Result<Worker> {
        Ok(Worker::new(workers::create(&name.to_string())?))
    }

    /// The worker of that name. Grant: `workers`.
    ///
    /// # Errors
    /// The grant is missing, or there is none.
    pub fn worker(&self, name: impl Display) -> Result<Worker> {
        Ok(Worker::new(workers::open(&name.to_string())?))
    }

    /// Makes a scratch node, a node outside every cluster for trying things by hand: `box`. Grant: `workers`.
    ///
    /// # Errors
    /// As [`Lab::create_worker`].
    pub fn create_scratch(&self, name: impl Display) -> Result<Scratch> {
        Ok(Scratch::new(workers::create_scratch(&name.to_string())?))
    }

    /// The scratch node of that name. Grant: `workers`.
    ///
    /// # Errors
    /// The grant is missing, or there is none.
    pub fn scratch(&self, name: impl Display) -> Result<Scratch> {
        Ok(Scratch::new(workers::open_scratch(&name.to_string())?))
    }

    /// Makes a container on the worker that its name begins with: `C0w1.c1`. Give it labels or a command
    /// with [`NewContainer`]. Grant: `containers`.
    ///
    /// ```no_run
    /// use knetsim_sdk::{Lab, NewContainer};
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// let lab = Lab::new();
    /// let idle = lab.create_container("C0w1.c1")?;
    /// let web = NewContainer::new("C0w2.web").label("app", "web").command(["python3", "-m", "http.server", "80"]);
    /// let web = lab.create_container(web)?;
    /// println!("{web} has {}", web.address()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The grant is missing, a limit is reached, the name is taken in the cluster, or something failed;
    /// nothing is left then.
    pub fn create_container(&self, container: impl Into<NewContainer>) -> Result<Container> {
        container.into().create()
    }

    /// The container of that name: `C0w1.c1`, or `C0.c1` on whichever worker it is. Grant: `containers`.
    ///
    /// # Errors
    /// The grant is missing, or there is none.
    pub fn container(&self, name: impl Display) -> Result<Container> {
        Container::open(&name.to_string())
    }

    /// Makes a service: a virtual address whose connections every worker of the cluster spreads over its
    /// endpoints. Grant: `services`.
    ///
    /// ```no_run
    /// use knetsim_sdk::{Lab, ServiceOptions};
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// let lab = Lab::new();
    /// let web = lab.create_service("C0.web", ServiceOptions::new().port(80, 8000).select("app", "web"))?;
    /// let slides = ServiceOptions::new().vip("100.64.10.1").endpoint("c2").endpoint("c3");
    /// let slides = lab.create_service("C0.slides", slides)?;
    /// println!("{web} has {}", web.vip()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The grant is missing, a limit is reached, the name or the address is taken in the cluster, an endpoint is not
    /// there, or something failed; nothing is left then.
    pub fn create_service(&self, name: impl Display, options: ServiceOptions) -> Result<Service> {
        Service::create(&name.to_string(), options)
    }

    /// The service of that name: `C0.web`. Grant: `services`.
    ///
    /// # Errors
    /// The grant is missing, or there is none.
    pub fn service(&self, name: impl Display) -> Result<Service> {
        Service::open(&name.to_string())
    }

    /// Makes an ingress: nginx on a worker, which leads requests to services by their host and path. Grant: `ingresses`.
    ///
    /// ```no_run
    /// use knetsim_sdk::{IngressOptions, Lab, Place};
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// let lab = Lab::new();
    /// let paths = IngressOptions::new("C0w1", 8001).path("/svc1", "100.64.11.1:8000").path("/svc2", "web:80");
    /// let ingress = lab.create_ingress("C0.grp1", paths)?;
    /// let reply = lab.place("C0e1").http_get("C0w1", 8001, "/svc1")?;
    /// println!("{} {}\n{}", reply.status, reply.text(), ingress.access_log()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The grant is missing, a limit is reached, the name or the port is taken, a worker or a backend is not there, or
    /// something failed; nothing is left then.
    pub fn create_ingress(&self, name: impl Display, options: IngressOptions) -> Result<Ingress> {
        Ingress::create(&name.to_string(), options)
    }

    /// The ingress of that name: `C0.grp1`. Grant: `ingresses`.
    ///
    /// # Errors
    /// The grant is missing, or there is none.
    pub fn ingress(&self, name: impl Display) -> Result<Ingress> {
        Ingress::open(&name.to_string())
    }

    /// Gives a cluster a site: a router on its first worker, by which it can be linked with others. It is knetsim's own
    /// where who made the sandbox has not chosen skrouterd.
    /// Grant: `links`.
    ///
    /// ```no_run
    /// use knetsim_sdk::{Lab, Servers};
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// let lab = Lab::new();
    /// let (west, east) = (lab.create_site("C0")?, lab.create_site("C1")?);
    /// east.link("c0", "C0", 1)?;
    /// west.add_connector("backend", "backend:8080", Servers::container("c4"), 8090)?;
    /// east.add_listener("backend", "backend:8080", 1028)?;
    /// println!("{:?}", east.info()?.links);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The grant is missing, the cluster has a site, or the router does not run.
    pub fn create_site(&self, cluster: impl Display) -> Result<Site> {
        Site::create(&cluster.to_string(), None)
    }

    /// The same with skrouterd for a router, whatever was chosen. Grant: `links`.
    ///
    /// # Errors
    /// As [`Lab::create_site`]; also where there is no skrouterd.
    pub fn create_site_of_skrouterd(&self, cluster: impl Display) -> Result<Site> {
        Site::create(&cluster.to_string(), Some("skrouterd"))
    }

    /// The site of that cluster. Grant: `links`.
    ///
    /// # Errors
    /// The grant is missing, or it has none.
    pub fn site(&self, cluster: impl Display) -> Result<Site> {
        Site::open(&cluster.to_string())
    }

    /// Anything that can be looked at, sent from or run in, by its name: a node of any kind, a container,
    /// `base` for the namespace where all bridges are, `box/myns` for a namespace made by hand.
    pub fn place(&self, name: impl Display) -> Target {
        Target::new(name.to_string())
    }

    /// Sets any interface up or down, `ip link set DEV up|down`: `C0w1:eth0`, `base:C0s0`. Grant: `workers`.
    ///
    /// # Errors
    /// The grant is missing, there is no such interface, or the kernel refused.
    pub fn set_link(&self, interface: impl Display, up: bool) -> Result<()> {
        Ok(workers::set_link(&interface.to_string(), up)?)
    }

    /// Starts to capture the packets that pass an interface: `C0w1:flannel.100`, `C0w1.c1:eth0`, `base:C0s0`.
    /// Say which of them, and how much to keep, with [`NewCapture`]. Grant: `captures`.
    ///
    /// # Errors
    /// The grant is missing, there is no such interface, or too many captures go on.
    pub fn capture(&self, capture: impl Into<NewCapture>) -> Result<Capture> {
        capture.into().start()
    }

    /// The capture that was kept by [`Capture::keep`] under that name. Grant: `captures`.
    ///
    /// # Errors
    /// The grant is missing, or there is none.
    pub fn kept_capture(&self, name: &str) -> Result<Capture> {
        Capture::open(name)
    }

    /// All clusters, by name. Grant: `observe`.
    ///
    /// # Errors
    /// The grant is missing.
    pub fn clusters(&self) -> Result<Vec<ClusterInfo>> {
        Ok(observe::clusters()?)
    }

    /// All nodes, by number. Grant: `observe`.
    ///
    /// ```no_run
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// for node in knetsim_sdk::Lab::new().nodes()? {
    ///     println!("{:8} {:8} {}", node.name, node.kind, node.address);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The grant is missing.
    pub fn nodes(&self) -> Result<Vec<NodeInfo>> {
        Ok(observe::nodes()?)
    }

    /// All containers, by cluster and name. Grant: `observe`.
    ///
    /// # Errors
    /// The grant is missing.
    pub fn containers(&self) -> Result<Vec<ContainerInfo>> {
        Ok(observe::containers()?)
    }

    /// All services, by cluster and name. Grant: `observe`.
    ///
    /// # Errors
    /// The grant is missing.
    pub fn services(&self) -> Result<Vec<ServiceInfo>> {
        Ok(observe::services()?)
    }

    /// All ingresses, by cluster and name. Grant: `observe`.
    ///
    /// # Errors
    /// The grant is missing.
    pub fn ingresses(&self) -> Result<Vec<IngressInfo>> {
        Ok(observe::ingresses()?)
    }

    /// All sites, by cluster: what their routers say of themselves. Grant: `observe`.
    ///
    /// # Errors
    /// The grant is missing.
    pub fn sites(&self) -> Result<Vec<SiteInfo>> {
        Ok(observe::sites()?)
    }

    /// The keys of a cluster's etcd that begin with `prefix`, `etcdctl get --prefix`. Grant: `observe`.
    ///
    /// ```no_run
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// for lease in knetsim_sdk::Lab::new().etcd_keys("C0", "/coreos.com/network/subnets/")? {
    ///     println!("{} {}", lease.key, lease.value);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The grant is missing, there is no such cluster, or its etcd does not answer.
    pub fn etcd_keys(&self, cluster: impl Display, prefix: &str) -> Result<Vec<EtcdKey>> {
        Ok(observe::etcd_keys(&cluster.to_string(), prefix)?)
    }

    /// What the kernel announced at `since_ms` milliseconds after the sandbox's begin, or later: links,
    /// addresses, routes, neighbours, rules, namespaces and containers that came and went. Grant: `observe`.
    ///
    /// # Errors
    /// The grant is missing.
    pub fn history(&self, since_ms: u64) -> Result<History> {
        Ok(observe::read_history(since_ms)?)
    }
}
