package main

import (
	"net/http"
	"testing"
)

// TestContendersAgree makes every contender's call once, with its signature checked and its result compared,
// and with a forged answer, which all must refuse. Nothing is timed.
func TestContendersAgree(t *testing.T) {
	k := newKeys()
	a, err := newAnswer(k)
	if err != nil {
		t.Fatal(err)
	}
	checkAll(k, a)
	table := &table{}
	keyOperations(table, k, &http.Client{Transport: a})
	if table.missed > 0 {
		t.Error(table.lines)
	}
}
