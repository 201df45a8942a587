package schemas

import (
	"embed"
	"fmt"
	"sync"

	"handprint/schemas/avro"
)

// Contract is a kind of record of a public topic. Each has an Avro schema.
type Contract uint8

// The contracts.
const (
	ObservationContract Contract = iota
	IdentityEventContract
	TransitionContract
	SuspicionContract
	StateRowContract
	DeadLetterContract
	HeartbeatContract
	AttackerProfileContract
	IdentityContract
	IdentityChangeContract
	contractCount
)

//go:embed avsc/*.avsc
var avscFiles embed.FS

// contractNames are the names of the contracts, as files and commands call them.
var contractNames = [contractCount]string{"observation", "identity_event", "transition", "suspicion", "state_row", "dead_letter", "heartbeat",
	"attacker_profile", "identity", "identity_change"}

// contract is what is known of a Contract.
type contract struct {
	text string // the schema
	read *avro.Schema
}

// contracts are read when the first of them is asked for: most commands need
// none, and reading them all takes as long as the rest of a start.
var contracts = sync.OnceValue(loadContracts)

func loadContracts() *[contractCount]contract {
	all := new([contractCount]contract)
	for i, name := range contractNames {
		text, err := avscFiles.ReadFile("avsc/" + name + ".avsc")
		if err != nil {
			panic(err)
		}
		schema, err := avro.Parse(text)
		if err != nil {
			panic(fmt.Sprintf("schemas: %s.avsc: %v", name, err))
		}
		all[i] = contract{string(text), schema}
	}
	return all
}

// Contracts lists all contracts.
func Contracts() []Contract {
	list := make([]Contract, contractCount)
	for i := range list {
		list[i] = Contract(i)
	}
	return list
}

// String returns the contract's name, such as "state_row".
func (c Contract) String() string { return contractNames[c] }

// Schema returns the Avro schema that records are written and read by, as JSON.
func (c Contract) Schema() string { return contracts()[c].text }

// RecordName returns the full name of the schema, such as "handprint.StateRow".
func (c Contract) RecordName() string { return contracts()[c].read.Name }

// WritesLike reports whether a schema, as JSON, makes the same bytes of the same
// record as the contract's own: names of types, documentation and defaults may
// differ.
func (c Contract) WritesLike(schema string) bool {
	s, err := avro.Parse([]byte(schema))
	return err == nil && avro.WriteAlike(contracts()[c].read, s)
}

// ParseContract returns the contract called name.
func ParseContract(name string) (Contract, error) {
	for i := range contractNames {
		if contractNames[i] == name {
			return Contract(i), nil
		}
	}
	return 0, fmt.Errorf("no contract is called %q", name)
}

// CheckReads reports why records written by the schema writer cannot all be
// read by the schema reader, nil if they can. Both are Avro schemas as JSON;
// reader must be a flat record.
func CheckReads(reader, writer string) error {
	r, err := avro.Parse([]byte(reader))
	if err != nil {
		return fmt.Errorf("the reader's schema: %w", err)
	}
	w, err := avro.Parse([]byte(writer))
	if err != nil {
		return fmt.Errorf("the writer's schema: %w", err)
	}
	plan, err := avro.Compile(w, r)
	if err != nil {
		return err
	}
	if problems := plan.Problems(); len(problems) > 0 {
		return fmt.Errorf("%s", problems[0])
	}
	return nil
}
