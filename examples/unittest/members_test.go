package members_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	members "github.com/wechatpay-cards/membercard/examples/unittest"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

const openID = "obLatjnx9gnqzS4myYGmLZ7LgLBA"

func newService(t *testing.T) (*members.Service, *membercardtest.Server, membercard.UserCard) {
	server := membercardtest.NewTestServer(t)
	card := server.AddUserCard(membercard.UserCard{OpenID: openID, Level: "黄金会员"})
	return &members.Service{Client: server.Client(), BrandID: card.BrandID, CardID: card.CardID}, server, card
}

func TestPromote(t *testing.T) {
	server := membercardtest.NewTestServer(t) // fails the test if the protocol is violated
	card := server.AddUserCard(membercard.UserCard{OpenID: "o-1", Level: "黄金会员"})
	service := members.Service{Client: server.Client(), BrandID: card.BrandID, CardID: card.CardID}

	require.NoError(t, service.Promote(t.Context(), "o-1", "钻石会员"))

	card, _ = server.UserCard(card.CardID, card.UserCardCode)
	assert.Equal(t, "钻石会员", card.Level)
}

func TestPromoteSomebodyElse(t *testing.T) {
	service, server, _ := newService(t)
	require.ErrorIs(t, service.Promote(t.Context(), "o-2", "钻石会员"), members.ErrNoMember)
	assert.Len(t, server.Requests(), 1)
}

// Retries take no time: in a synctest bubble the clock jumps.
func TestPromoteIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, server, card := newService(t)
		server.Inject(membercardtest.Fault{
			Operation: membercard.OperationUpdateUserCard,
			Kind:      membercardtest.FaultStatus, Status: http.StatusTooManyRequests, Code: "RATELIMIT_EXCEEDED",
			Header: http.Header{"Retry-After": {"3"}},
		})
		start := time.Now()
		require.NoError(t, service.Promote(t.Context(), openID, "钻石会员"))
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.Equal(t, 1, server.Effects(membercard.OperationUpdateUserCard, card.UserCardCode))
	})
}

// The connection breaks after the card was invalidated: the service finds out, and does not do it twice.
func TestLeaveWhenTheConnectionBreaks(t *testing.T) {
	service, server, card := newService(t)
	server.Inject(membercardtest.Fault{
		Operation: membercard.OperationInvalidateUserCard, Kind: membercardtest.FaultCut, AfterEffect: true,
	})
	require.NoError(t, service.Leave(t.Context(), openID))
	assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode))
}

// The same before it was: the caller must be told.
func TestLeaveThatDidNotHappen(t *testing.T) {
	service, server, card := newService(t)
	server.Inject(membercardtest.Fault{Operation: membercard.OperationInvalidateUserCard, Kind: membercardtest.FaultCut})
	err := service.Leave(t.Context(), openID)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	card, _ = server.UserCard(card.CardID, card.UserCardCode)
	assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
}

func TestLeaveTwice(t *testing.T) {
	service, _, _ := newService(t)
	require.NoError(t, service.Leave(t.Context(), openID))
	require.ErrorIs(t, service.Leave(t.Context(), openID), members.ErrNoMember)
}
