"""How names are resolved inside a container."""

from isthmus.lab.node import hostfiles


def pod(**spec):
    return {"metadata": {"name": "p-0", "namespace": "shop"}, "spec": spec}


def test_names_are_looked_up_in_the_cluster_first():
    text = hostfiles.resolv_conf(pod(), "cluster.local")
    assert text.splitlines() == [
        "nameserver 10.96.0.10",
        "search shop.svc.cluster.local svc.cluster.local cluster.local",
        "options ndots:5",
    ]


def test_dns_config_is_added_and_policy_none_takes_nothing_else():
    extra = {"nameservers": ["1.1.1.1"], "searches": ["x.example"], "options": [{"name": "ndots", "value": "1"}]}
    both = hostfiles.resolv_conf(pod(dnsConfig=extra), "cluster.local")
    assert "nameserver 1.1.1.1" in both
    assert "options ndots:1" in both
    alone = hostfiles.resolv_conf(pod(dnsPolicy="None", dnsConfig=extra), "cluster.local")
    assert alone == "nameserver 1.1.1.1\nsearch x.example\noptions ndots:1\n"


def test_the_hosts_file_knows_the_pod_and_its_aliases():
    spec = {"hostname": "db", "subdomain": "dbs", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}
    text = hostfiles.hosts(pod(**spec), "10.244.0.5", "cluster.local")
    assert "10.244.0.5\tdb.dbs.shop.svc.cluster.local db\n" in text
    assert "1.2.3.4\ta b\n" in text
