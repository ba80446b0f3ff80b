package consumer_test

import (
	"os/exec"
	"strings"
	"testing"

	"example.com/consumer"
	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestLevel(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	card := server.AddUserCard(membercard.UserCard{Level: "gold"})
	for code, want := range map[string]string{card.UserCardCode: "gold", "0": ""} {
		level, err := consumer.Level(t.Context(), server.Client(), card.BrandID, card.CardID, code, card.OpenID)
		if err != nil || level != want {
			t.Errorf("level %q, %v", level, err)
		}
	}
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
	_, err := consumer.Level(t.Context(), server.Client(), card.BrandID, card.CardID, card.UserCardCode, card.OpenID)
	if consumer.Wrong(err) != "NO_AUTH" {
		t.Error(err)
	}
}

// TestNothingIsCarried: a program with the SDK has no test framework in it.
func TestNothingIsCarried(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dependency := range strings.Lines(string(out)) {
		if dependency == "testing\n" || strings.Contains(dependency, "testify") || strings.Contains(dependency, "gomonkey") {
			t.Error("carried:", dependency)
		}
	}
}
