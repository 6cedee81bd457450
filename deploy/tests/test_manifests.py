"""What holds for every rendering of deploy/kustomize and deploy/helm."""

import copy
import functools
import json
import re
import tomllib
import unittest

import jsonschema
import kubernetes_validate
import yaml

from render import BASE, CHART, ROOT, Refused, base_with, daemon, helm, kustomize, pod, renderings

# Of Kubernetes: the oldest that the chart allows, and the one that kube-proxy is taken from.
VERSIONS = ["1.33", "1.36"]

# All that Fairlead may do, and no more.
RIGHTS = [
    ("", "services", "list"),
    ("", "services", "watch"),
    ("", "nodes", "list"),
    ("", "nodes", "watch"),
    ("discovery.k8s.io", "endpointslices", "list"),
    ("discovery.k8s.io", "endpointslices", "watch"),
    ("networking.k8s.io", "servicecidrs", "list"),
    ("networking.k8s.io", "servicecidrs", "watch"),
    ("events.k8s.io", "events", "create"),
    ("events.k8s.io", "events", "patch"),
]


def config(objects):
    """Fairlead's configuration."""
    return yaml.safe_load(objects["ConfigMap", "fairlead"]["data"]["config.conf"])


def each(test):
    """Asks every rendering by itself."""
    @functools.wraps(test)
    def ask(self):
        for name, objects in self.renderings.items():
            with self.subTest(name):
                test(self, objects)
    return ask


class EveryRendering(unittest.TestCase):
    """What holds however Fairlead is installed."""

    @classmethod
    def setUpClass(cls):
        cls.renderings = renderings()

    @each
    def test_is_valid_in_kubernetes(self, objects):
        for thing in objects.values():
            for version in VERSIONS:
                kubernetes_validate.validate(thing, version, strict=True)

    @each
    def test_may_do_nothing_else(self, objects):
        rights = sorted(
            (group, resource, verb)
            for rule in objects["ClusterRole", "fairlead"]["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"])
        untaints = any("--startup-taint" in word for word in daemon(objects)["command"])
        self.assertEqual(rights, sorted(RIGHTS + [("", "nodes", "get"), ("", "nodes", "patch")] * untaints))

    @each
    def test_rights_reach_the_pod(self, objects):
        binding = objects["ClusterRoleBinding", "fairlead"]
        self.assertEqual(binding["roleRef"]["name"], "fairlead")
        account = objects["ServiceAccount", pod(objects)["serviceAccountName"]]["metadata"]
        self.assertEqual(binding["subjects"], [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ])

    @each
    def test_the_daemon_is_not_privileged(self, objects):
        context = daemon(objects)["securityContext"]
        self.assertIs(context["privileged"], False)
        self.assertIs(context["allowPrivilegeEscalation"], False)
        self.assertIs(context["readOnlyRootFilesystem"], True)
        self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertEqual(context["capabilities"]["drop"], ["ALL"])
        for shared in ["hostPID", "hostIPC"]:
            self.assertNotIn(shared, pod(objects))

    @each
    def test_capabilities(self, objects):
        iptables = any(volume["name"] == "xtables-lock" for volume in pod(objects)["volumes"])
        # Where connections end with the pod they are given time.
        userspace = pod(objects)["terminationGracePeriodSeconds"] > 5
        expected = ["NET_ADMIN"] + ["NET_RAW"] * iptables + ["NET_BIND_SERVICE"] * userspace
        self.assertEqual(daemon(objects)["securityContext"]["capabilities"]["add"], expected)

    @each
    def test_nothing_of_the_host_is_mounted_but_the_lock_of_iptables(self, objects):
        volumes = {volume["name"]: volume for volume in pod(objects)["volumes"]}
        paths = {volume["hostPath"]["path"] for volume in volumes.values() if "hostPath" in volume}
        self.assertLessEqual(paths, {"/run/xtables.lock"})
        for container in pod(objects)["containers"] + pod(objects).get("initContainers", []):
            for mount in container["volumeMounts"]:
                self.assertIn(mount["name"], volumes)

    @each
    def test_what_is_privileged_ends(self, objects):
        for container in pod(objects).get("initContainers", []):
            self.assertIn("--init-only", container["command"])
            self.assertEqual(container["image"], daemon(objects)["image"])
            # All else is as for the daemon: the same settings, the same node.
            self.assertEqual(container["env"], daemon(objects)["env"])
            self.assertEqual(container["command"][:-1], daemon(objects)["command"][:3])

    @each
    def test_runs_on_every_linux_node_before_anything_else(self, objects):
        self.assertTrue(pod(objects)["hostNetwork"])
        self.assertEqual(pod(objects)["priorityClassName"], "system-node-critical")
        self.assertEqual(pod(objects)["tolerations"], [{"operator": "Exists"}])
        self.assertEqual(pod(objects)["nodeSelector"], {"kubernetes.io/os": "linux"})

    @each
    def test_selectors_find_the_pods(self, objects):
        labels = objects["DaemonSet", "fairlead"]["spec"]["template"]["metadata"]["labels"].items()
        selectors = [objects["DaemonSet", "fairlead"]["spec"]["selector"]["matchLabels"]]
        if ("Service", "fairlead-metrics") in objects:
            selectors.append(objects["Service", "fairlead-metrics"]["spec"]["selector"])
        for selector in selectors:
            self.assertLessEqual(selector.items(), labels)

    @each
    def test_probes_ask_where_the_daemon_answers(self, objects):
        if ("ConfigMap", "fairlead") in objects:
            port = int(config(objects)["healthzBindAddress"].rpartition(":")[2])
        else:
            port = 10256
        paths = {name: daemon(objects)[name]["httpGet"]
                 for name in ["startupProbe", "livenessProbe", "readinessProbe"]}
        self.assertEqual(paths, {
            "startupProbe": {"path": "/livez", "port": port},
            "livenessProbe": {"path": "/livez", "port": port},
            "readinessProbe": {"path": "/readyz", "port": port},
        })

    @each
    def test_the_api_server_is_not_reached_by_the_service_proxy(self, objects):
        if ("ConfigMap", "fairlead") in objects:
            path = config(objects)["clientConnection"]["kubeconfig"]
            folder = daemon(objects)["volumeMounts"][0]["mountPath"]
            self.assertEqual(path, f"{folder}/kubeconfig.conf")
            kubeconfig = yaml.safe_load(objects["ConfigMap", "fairlead"]["data"]["kubeconfig.conf"])
            [cluster] = kubeconfig["clusters"]
            self.assertRegex(cluster["cluster"]["server"], r"^https://control-plane\.")

    @each
    def test_annotations_of_ours_say_so(self, objects):
        template = objects["DaemonSet", "fairlead"]["spec"]["template"]
        for thing in [*objects.values(), template]:
            for key in thing["metadata"].get("annotations", {}):
                self.assertTrue(key.startswith("fairlead.dev/"), key)


class Validation(unittest.TestCase):
    """That it would notice."""

    def test_refuses_what_kubernetes_does_not_know(self):
        thing = kustomize(BASE)["DaemonSet", "fairlead"]
        thing["spec"]["template"]["spec"]["tolerances"] = []
        for version in VERSIONS:
            with self.assertRaisesRegex(kubernetes_validate.ValidationError, "tolerances"):
                kubernetes_validate.validate(thing, version, strict=True)


class ChartAndBase(unittest.TestCase):
    """The same thing in two ways."""

    def test_are_the_same(self):
        self.assertEqual(comparable(helm()), comparable(kustomize(BASE)))

    def test_are_the_same_with_what_can_be_added(self):
        chart = comparable(helm({
            "nodeSettings": {"enabled": True},
            "metricsService": {"enabled": True},
            "startupTaint": "fairlead.dev/starting",
        }))
        kustomized = comparable(base_with("node-settings", "metrics", "startup-taint"))
        # kustomize leaves the configuration to whoever adds the components.
        config_of = chart.pop(("ConfigMap", "fairlead"))["data"]["config.conf"]
        kustomized.pop(("ConfigMap", "fairlead"))
        self.assertEqual(chart, kustomized)
        self.assertNotIn("conntrack", config_of)
        self.assertEqual(config_of["metricsBindAddress"], "0.0.0.0:10249")

    def test_are_of_this_version(self):
        workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual(chart["version"], workspace["version"])
        self.assertEqual(chart["appVersion"], workspace["version"])
        self.assertEqual(daemon(kustomize(BASE))["image"], f"fairlead:{workspace['version']}")


def comparable(objects):
    """Objects without labels, and with what their configuration means instead of its text."""
    objects = copy.deepcopy(objects)
    for thing in objects.values():
        thing["metadata"].pop("labels")
        for name, text in thing.get("data", {}).items():
            thing["data"][name] = yaml.safe_load(text)
    spec = objects["DaemonSet", "fairlead"]["spec"]
    spec.pop("selector")
    spec["template"]["metadata"].pop("labels")
    if ("Service", "fairlead-metrics") in objects:
        objects["Service", "fairlead-metrics"]["spec"].pop("selector")
    return objects


class Values(unittest.TestCase):
    """What users may say to the chart."""

    def test_the_schema_is_one_and_the_defaults_keep_to_it(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        jsonschema.Draft7Validator.check_schema(schema)
        jsonschema.Draft7Validator(schema).validate(yaml.safe_load((CHART / "values.yaml").read_text()))

    def test_every_value_is_in_the_schema_and_the_other_way_round(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        self.assertEqual(values.keys(), schema["properties"].keys() - {"global"})

    def test_mistakes_are_refused(self):
        for values, complaint in [
            ({"apiServer": ""}, "apiServer has to be set"),
            ({"apiServer": "control-plane:6443"}, "does not match pattern"),
            ({"tolerances": []}, "'tolerances' not allowed"),
            ({"image": {"repo": "x"}}, "'repo' not allowed"),
            ({"nodeSettings": {"enabled": "yes"}}, "got string, want boolean"),
            ({"nodeSettings": {}, "metricsService": {"enable": True}}, "'enable' not allowed"),
            ({"config": {"mode": "nftable"}}, "/config/mode"),
            ({"config": {"healthzBindAddress": "0.0.0.0"}}, "/config/healthzBindAddress"),
            ({"config": {"healthzBindAddress": None}}, "healthzBindAddress"),
            ({"config": {"oomScoreAdj": -1001}}, "/config/oomScoreAdj"),
            ({"podAnnotations": {"a": 1}}, "got number, want string"),
        ]:
            with self.subTest(values=values), self.assertRaises(Refused) as refused:
                helm(values)
            self.assertRegex(str(refused.exception), re.escape(complaint))

    def test_userspace_mode_may_answer_from_any_port_and_ends_slowly(self):
        for mode, more, seconds in [("nftables", [], 5), ("userspace", ["NET_BIND_SERVICE"], 25)]:
            objects = helm({"config": {"mode": mode}})
            self.assertEqual(
                daemon(objects)["securityContext"]["capabilities"]["add"], ["NET_ADMIN"] + more)
            self.assertEqual(pod(objects)["terminationGracePeriodSeconds"], seconds)

    def test_flags_are_given_to_the_daemon_and_a_pod_may_take_longer_to_end(self):
        flags = ["--userspace-drain-timeout=1m", "--userspace-dial-timeouts=250ms,1s"]
        objects = helm({
            "config": {"mode": "userspace"}, "flags": flags, "terminationGracePeriodSeconds": 70,
        })
        self.assertEqual(daemon(objects)["command"][-2:], flags)
        self.assertEqual(pod(objects)["terminationGracePeriodSeconds"], 70)

    def test_every_field_of_the_configuration_is_passed_on(self):
        fields = {
            "mode": "ipvs",
            "ipvs": {"scheduler": "lc", "strictARP": True, "excludeCIDRs": ["192.0.2.0/24"]},
            "conntrack": {"min": 1048576, "tcpEstablishedTimeout": "2h0m0s"},
            "nodePortAddresses": ["192.0.2.0/24"],
            "logging": {"verbosity": 4},
            "clientConnection": {"qps": 50},
            "featureGates": {"AllowServiceExternalIPs": False},
            "metricsBindAddress": "127.0.0.1:20249",
            "healthzBindAddress": "0.0.0.0:20256",
        }
        found = config(helm({"config": fields, "metricsService": {"enabled": True}}))
        self.assertEqual(found["conntrack"], {"maxPerCore": 0, "tcpCloseWaitTimeout": "0s"} | fields["conntrack"])
        self.assertEqual(found["clientConnection"]["qps"], 50)
        self.assertIn("kubeconfig", found["clientConnection"])
        for name in fields.keys() - {"conntrack", "clientConnection"}:
            self.assertEqual(found[name], fields[name])


if __name__ == "__main__":
    unittest.main()
