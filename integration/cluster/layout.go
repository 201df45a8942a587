package cluster

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
)

// layout is what the brokers of a cluster have to know of each other.
type layout struct {
	o                                   Options
	plain, proxied, controller, secured []int // ports
}

const clusterID = "aGFuZHByaW50LWludGVnMQ"

func newLayout(o Options) (*layout, error) {
	ports, err := freePorts(4 * o.Brokers)
	if err != nil {
		return nil, fmt.Errorf("looking for free ports: %w", err)
	}
	n := o.Brokers
	return &layout{o, ports[:n], ports[n : 2*n], ports[2*n : 3*n], ports[3*n:]}, nil
}

// freePorts returns ports that nobody listens on. They stay the broker's over
// its restarts, so they are chosen once, below the ports that the system gives to
// clients where that is possible.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func (l *layout) addresses(ports []int) []string {
	var list []string
	for _, p := range ports {
		list = append(list, address(p))
	}
	return list
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// config is the configuration of a broker. Where it differs from Kafka's
// defaults that is to find out soon that a broker or a member is gone, to need
// little memory, and to clean up logs often, so that compaction takes part.
func (l *layout) config(broker int, dataDir string) map[string]string {
	n := len(l.plain)
	replicas, insync := strconv.Itoa(n), strconv.Itoa(max(1, n-1))
	listeners := []string{"PLAINTEXT://" + address(l.plain[broker]), "CONTROLLER://" + address(l.controller[broker])}
	advertised := []string{"PLAINTEXT://" + address(l.plain[broker])}
	if len(l.o.Proxied) > 0 {
		listeners = append(listeners, "PROXIED://"+address(l.proxied[broker]))
		advertised = append(advertised, "PROXIED://"+l.o.Proxied[broker])
	}
	if l.o.Security != nil {
		own := "SECURED://" + address(l.secured[broker])
		listeners, advertised = append(listeners, own), append(advertised, own)
	}
	var voters []string
	for i, port := range l.controller {
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, address(port)))
	}
	c := map[string]string{
		"node.id":                                                     strconv.Itoa(broker + 1),
		"process.roles":                                               "broker,controller",
		"controller.quorum.voters":                                    strings.Join(voters, ","),
		"controller.listener.names":                                   "CONTROLLER",
		"listeners":                                                   strings.Join(listeners, ","),
		"advertised.listeners":                                        strings.Join(advertised, ","),
		"inter.broker.listener.name":                                  "PLAINTEXT",
		"listener.security.protocol.map":                              "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,SECURED:SASL_SSL",
		"log.dirs":                                                    dataDir,
		"default.replication.factor":                                  replicas,
		"min.insync.replicas":                                         insync,
		"offsets.topic.replication.factor":                            replicas,
		"offsets.topic.num.partitions":                                "4",
		"transaction.state.log.replication.factor":                    replicas,
		"transaction.state.log.min.isr":                               insync,
		"transaction.state.log.num.partitions":                        "4",
		"share.coordinator.state.topic.replication.factor":            replicas,
		"share.coordinator.state.topic.min.isr":                       insync,
		"group.initial.rebalance.delay.ms":                            "0",
		"auto.create.topics.enable":                                   "false",
		"broker.heartbeat.interval.ms":                                "500",
		"broker.session.timeout.ms":                                   "3000",
		"replica.lag.time.max.ms":                                     "5000",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
		"log.segment.bytes":                                           "1048576",
		"log.cleaner.backoff.ms":                                      "1000",
		"log.cleaner.dedupe.buffer.size":                              "16777216",
		"log.cleaner.threads":                                         "1",
		"num.network.threads":                                         "2",
		"num.io.threads":                                              "4",
		"controlled.shutdown.max.retries":                             "1",
		"leader.imbalance.check.interval.seconds":                     "10",
		"leader.imbalance.per.broker.percentage":                      "0",
	}
	if l.o.Security != nil {
		maps.Copy(c, l.o.Security.config())
	}
	maps.Copy(c, l.o.Config)
	return c
}

// properties writes a configuration as Kafka reads it.
func properties(config map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&b, "%s=%s\n", key, config[key])
	}
	return b.String()
}

// environment writes a configuration as the apache/kafka image reads it.
func environment(config map[string]string) map[string]string {
	env := make(map[string]string, len(config))
	for key, value := range config {
		env["KAFKA_"+strings.ReplaceAll(strings.ToUpper(key), ".", "_")] = value
	}
	return env
}
