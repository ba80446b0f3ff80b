package membercardtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatpay-cards/membercard"
)

// TestMerge is that of RFC 7396 without null, and what shares an object with the document stays as it is.
func TestMerge(t *testing.T) {
	t.Parallel()
	shared := map[string]any{"jump_appid": "a", "jump_path": "/old"}
	d := document{"member_information": shared, "benefits": "x", "names": []any{"a", "b"}}
	d.merge(document{"member_information": map[string]any{"jump_path": "/new"}, "names": []any{"c"}, "level": "1"})
	assert.Equal(t, document{
		"member_information": map[string]any{"jump_appid": "a", "jump_path": "/new"}, "benefits": "x", "names": []any{"c"}, "level": "1",
	}, d)
	assert.Equal(t, "/old", shared["jump_path"])
}

// TestProject keeps what the rows describe, at each depth, and writes each text as it is told.
func TestProject(t *testing.T) {
	t.Parallel()
	rows := []parameter{
		{name: "time", kind: kindText, rule: rule{isTime: true}},
		{name: "list", kind: kindList, members: []parameter{{name: "a", kind: kindText}}},
		{name: "n", kind: kindInteger},
	}
	d := document{
		"time": "2026-11-26T00:00:00Z", "n": json.Number("7"), "unknown": "x",
		"list": []any{map[string]any{"a": "1", "b": "2"}},
	}
	assert.Equal(t, document{
		"time": "2026-11-26T08:00:00.000+08:00", "n": json.Number("7"), "list": []any{map[string]any{"a": "1"}},
	}, project(rows, d, normalTime))
	assert.Equal(t, "x", d["unknown"], "the document is another")
}

// TestMembersOfAnotherType are as if they were not there.
func TestMembersOfAnotherType(t *testing.T) {
	t.Parallel()
	for _, value := range []any{nil, "x", json.Number("1.5"), true, map[string]any{}, []any{"a", nil}} {
		d := document{"m": value}
		assert.True(t, d.has("m"))
		assert.Equal(t, value == "x", d.text("m") != "")
		assert.Equal(t, value == true, d.boolean("m"))
		assert.Zero(t, d.number("m"), "1.5 is no integer")
		assert.Zero(t, d.time("m"))
		_, isObject := value.(map[string]any)
		assert.Equal(t, isObject, d.object("m") != nil)
		_, isList := value.([]any)
		assert.Len(t, d.texts("m"), map[bool]int{true: 2}[isList])
		assert.Len(t, d.objects("m"), map[bool]int{true: 2}[isList])
	}
	assert.False(t, document{}.has("m"))
}

// TestDocumentOf: a value of membercard's goes there and back, but for what is empty.
func TestDocumentOf(t *testing.T) {
	t.Parallel()
	rows := answerRows(membercard.OperationGetCard)
	days := 30
	card := membercard.Card{
		CardID: "c", CardTitle: "测试卡", NeedPinned: true, CreateTime: membercard.Timestamp{Time: time.Date(2026, 11, 26, 8, 0, 0, 123e6, zone)},
		MemberInformation:    &membercard.MemberInfo{JumpAppID: "a"},
		ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypeFixTerm, AvailableDayAfterReceive: &days},
	}
	d := documentOf(rows, card)
	assert.False(t, d.has("benefits"))
	assert.Equal(t, "2026-11-26T08:00:00.123+08:00", d.text("create_time"))
	assert.False(t, d.object("member_information").has("jump_path"))
	back := valueOf[membercard.Card](d)
	assert.True(t, card.CreateTime.Equal(back.CreateTime.Time))
	back.CreateTime = card.CreateTime
	assert.Equal(t, card, back)

	assert.PanicsWithValue(t, "membercardtest: struct { X int \"json:\\\"x\\\"\" }: x is in no row of the page", func() {
		documentOf(rows, struct {
			X int `json:"x"`
		}{1})
	})
	assert.Panics(t, func() {
		documentOf(rows, struct {
			Title int `json:"card_title"`
		}{1})
	}, "a text on the page")
	assert.Panics(t, func() { valueOf[membercard.Card](document{"x": "y"}) })
}

// TestWith changes a copy.
func TestWith(t *testing.T) {
	t.Parallel()
	d := document{"state": "a"}
	assert.Equal(t, "b", d.with("state", "b").text("state"))
	assert.Equal(t, "a", d.text("state"))
	d.setDefault("state", "c")
	d.setDefault("other", "c")
	assert.Equal(t, document{"state": "a", "other": "c"}, d)
	assert.True(t, strings.HasSuffix(formatTime(time.Time{}), "+08:00"))
}
