package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"handprint/attribution"
	"handprint/internal/config"
	"handprint/schemas"
	"handprint/siem"
	"handprint/siem/deliver"
)

// The files of a replay that have addresses and members of identities.
const (
	fileIdentityChanged = "identity_changed.ndjson"
	fileIdentities      = "identities.ndjson"
	fileProfiles        = "profiles.ndjson"
)

// primitives returns the registry of primitives that is configured.
func (a *app) primitives() (*attribution.Registry, error) {
	name := a.cfg.Values.RegistryFile
	if name == "" {
		return attribution.DefaultRegistry(), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, usageErrorf("registry-file: %w", err)
	}
	defer file.Close()
	r, err := attribution.ReadRegistry(file)
	if err != nil {
		return nil, usageErrorf("registry-file: %w", err)
	}
	return r, nil
}

// formatNames are what --to takes, and the file that each format is written to.
var formatNames = []struct{ name, file string }{
	{string(siem.OCSF), "ocsf.ndjson"}, {string(siem.ECS), "ecs.ndjson"}, {string(siem.CEF), "cef.log"}, {string(siem.LEEF), "leef.log"},
	{siem.STIX, "stix.json"}, {siem.MISPEvents, "misp.json"}, {siem.MISPFeed, "misp-feed"},
}

func (a *app) formatCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "format",
		Short: "Turn what handprint says into the formats of security systems",
		Example: `  handprint format files --out siem yesterday
  handprint format run --to ecs --brokers a:9092`,
	})
	cmd.AddCommand(a.formatFilesCommand(), a.formatRunCommand())
	return cmd
}

// formatQuery is what the flags of formats ask for.
type formatQuery struct {
	out       string
	to        []string
	rows      bool
	addresses bool
	namespace string
	severity  map[string]string
	misp      siem.MISPOptions
	catalogue string
	digest    string
}

// flags adds what every command with formats has.
func (q *formatQuery) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&q.namespace, "namespace", "default", "data_stream.namespace of ECS.")
	cmd.Flags().StringToStringVar(&q.severity, "severity", nil, "Other severities, such as drifting=informational: a state, suspicion, weak_suspicion, cleared, row or identity, and informational, low, medium or high.")
	cmd.Flags().BoolVar(&q.addresses, "addresses", true, "Name the addresses from which an identity came, as far as sensors told them.")
	cmd.Flags().StringVar(&q.misp.Org, "misp-org", "handprint", "Organisation (Orgc) of MISP events.")
	cmd.Flags().StringVar(&q.misp.OrgUUID, "misp-org-uuid", "", "Its UUID. (default one that follows from the name)")
	cmd.Flags().StringVar(&q.misp.TLP, "misp-tlp", "tlp:amber", "Tag of the traffic light protocol that MISP events bear.")
	cmd.Flags().StringVar(&q.catalogue, "attack-catalogue", "", "ATT&CK's own STIX bundle: its names are taken, and what it has withdrawn is left out. Read when it is first needed.")
	cmd.Flags().StringVar(&q.digest, "attack-sha256", "", "SHA-256 of that file.")
}

// options returns what the flags say of the events.
func (q *formatQuery) options(a *app) (siem.ExportOptions, error) {
	table := siem.DefaultTable()
	for sort, name := range q.severity {
		s, ok := siem.ParseSeverity(name)
		if !ok {
			return siem.ExportOptions{}, usageErrorf("flag --severity: %s must be informational, low, medium or high, is %s", sort, name)
		}
		if !table.Set(sort, s) {
			return siem.ExportOptions{}, usageErrorf("flag --severity: must name a state, suspicion, weak_suspicion, cleared, row or identity, is %s", sort)
		}
	}
	if q.misp.Org == "" || q.misp.TLP == "" {
		return siem.ExportOptions{}, usageErrorf("flags --misp-org and --misp-tlp: must not be empty")
	}
	return siem.ExportOptions{
		Options: siem.Options{Version: readVersion().Version, Namespace: q.namespace, Severities: &table, Cap: a.cfg.Thresholds.MultiActorCap},
		MISP:    q.misp, Rows: q.rows,
	}, nil
}

// decoder returns what makes events of records.
func (q *formatQuery) decoder(a *app) (*siem.Decoder, error) {
	d := &siem.Decoder{Topics: a.siemTopics(), Attack: siem.DefaultAttackMap()}
	if q.addresses {
		d.Addresses = siem.NewAddresses()
	}
	if q.catalogue == "" && q.digest == "" {
		return d, nil
	}
	var err error
	if d.Catalogue, err = siem.NewCatalogue(q.catalogue, q.digest); err != nil {
		return nil, usageErrorf("flags --attack-catalogue and --attack-sha256: %w", err)
	}
	return d, nil
}

func (a *app) formatFilesCommand() *cobra.Command {
	var q formatQuery
	cmd := &cobra.Command{
		Use:   "files --out DIR IN",
		Short: "Format a folder of results, without Kafka",
		Long: `Format the results of a replay: IN is a folder as "handprint replay --out" writes
it. DIR gets ocsf.ndjson, ecs.ndjson, cef.log, leef.log, stix.json, misp.json and
the folder misp-feed; --to chooses among them. The same input gives the same
bytes. Rows go to MISP in any case, elsewhere with --rows only: a row is a table's,
not an event.`,
		Example: `  handprint replay --from cowrie --out yesterday cowrie.json.2026-03-01.gz
  handprint format files --out siem yesterday
  handprint format files --to cef,stix --out siem yesterday`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.formatFiles(&q, args[0]) },
	}
	var all []string
	for _, f := range formatNames {
		all = append(all, f.name)
	}
	cmd.Flags().StringVar(&q.out, "out", "", "Folder for the formats; made if it is not there.")
	cmd.Flags().StringSliceVar(&q.to, "to", all, "Which formats to write.")
	cmd.Flags().BoolVar(&q.rows, "rows", false, "Write rows to all formats.")
	q.flags(cmd)
	complete(cmd, "to", all...)
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // the flag is declared above
	}
	return a.configure(cmd, config.GroupTopics, "multi-actor-confidence-cap", "registry-file")
}

func (a *app) formatFiles(q *formatQuery, in string) error {
	o, err := q.options(a)
	if err != nil {
		return err
	}
	d, err := q.decoder(a)
	if err != nil {
		return err
	}
	if d.Registry, err = a.primitives(); err != nil {
		return err
	}
	for _, name := range q.to {
		if !slices.ContainsFunc(formatNames, func(f struct{ name, file string }) bool { return f.name == name }) {
			return usageErrorf("flag --to: no such format: %s", name)
		}
	}
	if info, err := os.Stat(in); err != nil || !info.IsDir() {
		return usageErrorf("%s: is no folder of results", in)
	}
	if d.Addresses != nil {
		if err := a.fileAddresses(d.Addresses, in); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(q.out, 0o755); err != nil {
		return usageErrorf("--out: %w", err)
	}
	w := &fileFormats{dir: q.out}
	if err := w.open(q.to, o); err != nil {
		return err
	}
	n, bad, err := a.fileEvents(d, in, w.add)
	if err = errors.Join(err, w.close()); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d records could not be used; the log says why", bad, n+bad)
	}
	fmt.Fprintf(a.out, "%d events; see %s\n", n, q.out)
	return nil
}

// fileFormats writes every format that is asked for.
type fileFormats struct {
	dir     string
	exports []*fileExport
	feed    map[string]*siem.MISP // nil: not asked for
	misp    siem.MISPOptions
}

// fileExport is a format's file. It gets its name when it is whole.
type fileExport struct {
	*siem.Exporter
	file *os.File
	out  *bufio.Writer
	name string
}

func (w *fileFormats) open(names []string, o siem.ExportOptions) error {
	w.misp = o.MISP
	for _, f := range formatNames {
		if !slices.Contains(names, f.name) {
			continue
		}
		if f.name == siem.MISPFeed {
			w.feed = map[string]*siem.MISP{}
			continue
		}
		file, err := os.Create(filepath.Join(w.dir, f.file+".part"))
		if err != nil {
			return fmt.Errorf("writing %s: %w", f.file, err)
		}
		e := &fileExport{file: file, out: bufio.NewWriterSize(file, 256<<10), name: filepath.Join(w.dir, f.file)}
		w.exports = append(w.exports, e)
		if e.Exporter, err = siem.NewExporter(f.name, e.out, o); err != nil {
			return err
		}
	}
	return nil
}

func (w *fileFormats) add(e *siem.Event) error {
	for _, x := range w.exports {
		if err := x.Add(e); err != nil {
			return fmt.Errorf("writing %s: %w", x.name, err)
		}
	}
	if w.feed != nil {
		siem.AddMISP(w.feed, e)
	}
	return nil
}

func (w *fileFormats) close() error {
	var all error
	for _, x := range w.exports {
		if x.Exporter == nil {
			continue
		}
		err := errors.Join(x.Close(), x.out.Flush(), x.file.Close())
		if err == nil {
			err = os.Rename(x.file.Name(), x.name)
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("writing %s: %w", x.name, err))
		}
	}
	if w.feed != nil && all == nil {
		feed := deliver.Feed{Dir: filepath.Join(w.dir, siem.MISPFeed), Options: w.misp}
		all = feed.WriteAll(w.feed)
	}
	return all
}

// fileEvents calls each with the events of a folder of results: transitions,
// suspicions, identity changes, rows, each in the order of its file. It returns
// how many there were, and how many records could not be used.
func (a *app) fileEvents(d *siem.Decoder, in string, each func(*siem.Event) error) (n, bad int, err error) {
	for _, f := range []struct{ topic, file string }{
		{d.Topics.StateChanged, fileStateChanged}, {d.Topics.Suspected, fileSuspected}, {d.Topics.IdentityChanged, fileIdentityChanged}, {d.Topics.State, fileRows},
	} {
		offset := int64(-1)
		err := eachLine(filepath.Join(in, f.file), func(line []byte) error {
			offset++
			e, err := d.Decode(&siem.Record{Topic: f.topic, Value: line, Offset: offset})
			if bad1 := (*schemas.Bad)(nil); errors.As(err, &bad1) {
				if bad++; bad <= deadLogged {
					a.log.Warn("a record cannot be used", "file", f.file, "line", offset+1, "error", err)
				}
				return nil
			}
			if err != nil {
				return err
			}
			n++
			return each(e)
		})
		if err != nil {
			return n, bad, err
		}
	}
	return n, bad, nil
}

// fileAddresses reads the addresses and members that a folder of results has.
func (a *app) fileAddresses(t *siem.Addresses, in string) error {
	var w *schemas.Writers
	err := eachLine(filepath.Join(in, fileProfiles), func(line []byte) error {
		if p, err := w.Profile(line); err == nil {
			t.PutProfile(&p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return eachLine(filepath.Join(in, fileIdentities), func(line []byte) error {
		if m, err := w.Membership(line); err == nil {
			t.PutMembers(m.Identity, m.Attackers)
		}
		return nil
	})
}

// eachLine calls each with every line of a file that is not blank; a file that
// is not there has none.
func eachLine(name string, each func([]byte) error) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the results: %w", err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 256<<10)
	for {
		line, err := in.ReadBytes('\n')
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 {
			if err := each(trimmed); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", filepath.Base(name), err)
		}
	}
}
