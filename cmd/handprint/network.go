package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"handprint/ingest"
	"handprint/ingest/network"
	"handprint/ingest/suricata"
	"handprint/ingest/zeek"
	"handprint/internal/config"
)

// networkQuery is what the flags about a network sensor ask for.
type networkQuery struct {
	sensor, path string
	localNets    []string
	includeLocal bool
	primitives   []string
}

func (a *app) ingestNetworkCommand(sensor string) *cobra.Command {
	var q ingestQuery
	var n networkQuery
	title, what := "Zeek", "Zeek's ssh, ssl, conn and http logs"
	if sensor == "suricata" {
		title, what = "Suricata", "Suricata's EVE log"
	}
	cmd := &cobra.Command{
		Use:   sensor + " --local-net CIDR FILE... | --topic NAME",
		Short: "Read " + what,
		Long: fmt.Sprintf(`Read %s and send what it shows of clients from
outside as observations. A network sensor sees everybody: a connection counts
only if it comes from outside of all local networks and goes to one of them.
Host names, addresses of pages, user names and payloads never leave this command.

Files may be packed, and the rows wrapped by a shipper; - is standard input. Rows
that cannot be used go to the dead-letter topic, without their text. Each row
stands for itself: a topic may have any number of partitions.

What %s does not log, nobody can read: docs/sensors.md says which of its
settings make the fields that observations are made of.`, what, title),
		Example: fmt.Sprintf(`  handprint ingest %[1]s --brokers a:9092 --local-net 192.0.2.0/24 %[2]s
  handprint ingest %[1]s --stdout --local-net 192.0.2.0/24 --primitives toolchain.ssh.hassh_client %[2]s`,
			sensor, map[string]string{"zeek": "ssh.log ssl.*.log.gz", "suricata": "eve.json"}[sensor]),
		RunE: func(cmd *cobra.Command, files []string) error {
			return a.ingestNetwork(cmd.Context(), sensor, &q, &n, files)
		},
	}
	q.flags(cmd)
	q.topicFlags(cmd, sensor)
	n.flags(cmd)
	if sensor == "zeek" {
		n.pathFlag(cmd)
	}
	return a.configure(cmd, config.GroupConnection, "application-id", config.GroupTopics, config.GroupSchemas, "max-ahead", "addresses", config.GroupNetwork)
}

func (n *networkQuery) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.sensor, "sensor", "", "Name of the sensor. (default: what a row says of itself)")
	cmd.Flags().StringArrayVar(&n.localNets, "local-net", nil, "Network that the sensor watches over, as CIDR. May be given again.")
	cmd.Flags().BoolVar(&n.includeLocal, "include-local", false, "Watch clients in the local networks too: everybody there.")
	cmd.Flags().StringSliceVar(&n.primitives, "primitives", nil, "Send these primitives alone, such as where another sensor sends the others.")
}

func (n *networkQuery) pathFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.path, "path", "", "What the rows of Zeek are (ssh, ssl, conn, http), where neither they nor the file's name say it.")
	complete(cmd, "path", "ssh", "ssl", "conn", "http")
}

// networkSettings returns what the flags ask for.
func (a *app) networkSettings(n *networkQuery) (network.Settings, error) {
	s := network.Settings{Numbers: a.network, MaxAhead: a.cfg.Values.MaxAhead, Missing: a.warn, Sensor: n.sensor, IncludeLocal: n.includeLocal, Primitives: n.primitives, Path: n.path}
	for _, text := range n.localNets {
		for part := range strings.SplitSeq(text, ",") {
			prefix, err := netip.ParsePrefix(strings.TrimSpace(part))
			if err != nil {
				return s, usageErrorf("flag --local-net: must be a network such as 192.0.2.0/24, is %s", part)
			}
			s.LocalNets = append(s.LocalNets, prefix.Masked())
		}
	}
	if err := s.Validate(); err != nil {
		return s, usageErrorf("%w", err)
	}
	return s, nil
}

func (a *app) ingestNetwork(ctx context.Context, sensor string, q *ingestQuery, n *networkQuery, files []string) error {
	q.addresses = true
	settings, err := a.networkSettings(n)
	if err != nil {
		return err
	}
	if err := q.check(files); err != nil {
		return err
	}
	if q.follow {
		return a.ingestFollow(ctx, q, sensor, files, func(s ingest.Sink) (ingest.Positioned, error) {
			return newNetworkAdapter(sensor, settings, s)
		})
	}
	if q.topic != "" {
		return a.ingestTopic(ctx, q, sensor, func(s ingest.Sink) (ingest.Positioned, error) {
			return newNetworkAdapter(sensor, settings, s)
		})
	}
	return a.ingestFiles(ctx, q, files, func(s ingest.Sink) (ingest.Adapter, error) { return newNetworkAdapter(sensor, settings, s) })
}

func newNetworkAdapter(sensor string, settings network.Settings, s ingest.Sink) (ingest.Positioned, error) {
	if sensor == "suricata" {
		return suricata.New(settings, s.Observation, s.Dead)
	}
	return zeek.New(settings, s.Observation, s.Dead)
}
