package schemas_test

import (
	"fmt"

	"handprint/attribution"
	"handprint/schemas"
)

// A record of attacker.profile as an adapter writes it, read back.
func ExampleDecodeProfileJSON() {
	const attacker = "21d54472-1b98-573f-8dba-dbc4b89b6c41"
	record := schemas.AppendProfileJSON(nil, &schemas.Profile{
		Attacker: attacker, Stub: attribution.Stub([]byte(attacker)).String(), Address: "192.0.2.7", Sensor: "lab01", Kind: schemas.AddressIP, FirstSeen: 1000, LastSeen: 4600,
	})
	p, err := schemas.DecodeProfileJSON(record)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Address, p.Sensor, p.LastSeen-p.FirstSeen)
	// Output: 192.0.2.7 lab01 3600
}
