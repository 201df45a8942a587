package conventions

// AvoidedNames are identifiers that were private words of this project. A name
// says the thing in the field's word, so none of them comes back.
func AvoidedNames() []string {
	return []string{
		"isHeld", "piecesOfTurn", "turnsFor", "letIn", "belongTo", "isUnbroken", "takeMoved",
		"renewed", "yesFirst", "nearness", "nearAsked", "nearMany", "GetNear", "roomy",
		"undoAll", "FitsNot", "Odd", "notListen", "cannotSay",
		"mostBytes", "mostPieces", "mostRest", "mostBelieved", "mostFree", "mostListed", "watchMost", "markersMost",
	}
}

// AvoidedPhrases are turns of phrase, as regular expressions, that made readers
// stumble. What stands beside each is the plain way to say it.
func AvoidedPhrases() map[string]string {
	return map[string]string{
		`\bof which\b`:      "a second sentence",
		`\bthose that\b`:    "the noun again",
		`\bgoes round\b`:    "is retried",
		`\bin hand\b`:       "current, open",
		`\bfor ever\b`:      "without end, never ends",
		`\btells whether\b`: "reports whether",
		`\blet in\b`:        "admitted, joined",
	}
}
