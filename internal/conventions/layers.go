package conventions

// Layer is one row of the order: the folders that share a rank, and what lives
// in them.
type Layer struct {
	// Folders are paths below the module's root. A folder stands for the
	// package in it and for all packages below it, unless those have a row of
	// their own.
	Folders []string
	// What says in a clause what lives there.
	What string
}

// Layers returns the order, from the command line down to what knows nothing of
// the project. An import points down it, or stays within its row.
func Layers() []Layer {
	return []Layer{
		{[]string{"cmd"}, "the command line; one file a command"},
		{[]string{"bench"}, "the whole pipeline against others who do the job (`bench/peers/`), and against a bare copy in transactions"},
		{[]string{"integration"}, "tests on a real Kafka: clusters, instances, faults, a proxy, chaos"},
		{[]string{"deploy"}, "configurations for other people's software: Compose, Prometheus, Grafana, Kafka Connect, with their tests"},
		{[]string{"serve"}, "the read side: follower, catalogue, history, API, pages"},
		{[]string{"internal/admin", "internal/metrics", "internal/tracing"}, "what a process tells of itself: health and status over HTTP, metrics, traces of batches"},
		{[]string{"internal/operations"}, "what an operator does from outside: doctor, lag, reset, a changelog restored from stores"},
		{[]string{"internal/audit"}, "what the input means, worked out anew and compared with every topic and store"},
		{[]string{"internal/asyncapi"}, "the public topics as an AsyncAPI document"},
		{[]string{"internal/config"}, "every setting, declared once: flag, environment, file, default, range, sentence"},
		{[]string{"siem"}, "output records as OCSF, ECS, CEF, LEEF, STIX and MISP, and their delivery"},
		{[]string{"topology"}, "which topics, which task does what: the wiring, readable as a page"},
		{[]string{"ingest"}, "sensor logs to observations"},
		{[]string{"internal/faults"}, "faults of tagged builds: when to die, when the disk is full"},
		{[]string{"engine"}, "what one task does with one record. Knows nothing of Kafka or Pebble"},
		{[]string{"engine/record"}, "the formats of the store's records and of commands"},
		{[]string{"processor"}, "the runtime: workers, tasks, restore; `assignor/` decides who gets which task. Knows nothing of attribution"},
		{[]string{"state"}, "Pebble, overlay, checkpoint. Knows nothing of attribution or of Kafka"},
		{[]string{"internal/broker"}, "the embedded broker, and topic administration"},
		{[]string{"internal/load"}, "the observations of the benchmarks, the same for the same seed"},
		{[]string{"schemas/registry"}, "asks a schema registry: ids of our schemas, schemas of others' ids"},
		{[]string{"schemas"}, "records to domain types and back, JSON and Avro; the Avro schemas"},
		{[]string{"schemas/avro"}, "Avro's encoding and schema resolution, as far as our records need it"},
		{[]string{"internal/vectors"}, "the conformance vectors, for tests"},
		{[]string{"attribution"}, "the domain: series, mergers, rows, sweep, registry. Pure"},
		{[]string{"internal/unpack"}, "bounds what a compressed batch of a topic may become in memory"},
		{[]string{"internal/memory"}, "how much memory the process may take, and how much of it the caches should"},
		{[]string{"internal/canonical"}, "canonical JSON"},
		{[]string{"internal/javakafka"}, "the Java software that tests run against, from Maven"},
		{[]string{"internal/conventions"}, "this list, the words to avoid, and the tests that keep both"},
	}
}
