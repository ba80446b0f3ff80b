package membercardtest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// The recipes of doc.go. Service stands for the code under test.

type Service struct {
	client *membercard.Client
	card   membercard.UserCard
}

func NewService(client *membercard.Client, card membercard.UserCard) *Service {
	return &Service{client, card}
}

func (s *Service) Promote(ctx context.Context, level string) error {
	_, err := s.client.UpdateUserCard(ctx, membercard.UpdateUserCardRequest{
		BrandID: s.card.BrandID, CardID: s.card.CardID, UserCardCode: s.card.UserCardCode, OpenID: s.card.OpenID, Level: &level,
	})
	return err
}

func (s *Service) Leave(ctx context.Context) error {
	_, err := s.client.InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{
		BrandID: s.card.BrandID, CardID: s.card.CardID, UserCardCode: s.card.UserCardCode, OpenID: s.card.OpenID,
	})
	if !errors.Is(err, membercard.ErrOutcomeUnknown) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // the call's may be over
	defer cancel()
	card, err := s.client.GetUserCard(ctx, membercard.GetUserCardRequest{
		BrandID: s.card.BrandID, CardID: s.card.CardID, UserCardCode: s.card.UserCardCode, OpenID: s.card.OpenID,
	})
	if err == nil && card.UserCardState != membercard.UserCardStateInvalid {
		err = errors.New("not done")
	}
	return err
}

func (s *Service) Notified(ctx context.Context, n *membercard.Notification) error {
	created, ok := n.Event.(*membercard.UserCardCreated)
	if !ok {
		return nil
	}
	if created.UserCardCode == "" { // CodeModeMerchantAllocate: the code is the merchant's
		created.UserCardCode = "M-" + created.OpenID
	}
	_, err := s.client.ConfirmUserCard(ctx, membercard.ConfirmUserCardRequest{
		BrandID: created.BrandID, CardID: created.CardID, UserCardCode: created.UserCardCode, OpenID: created.OpenID,
		UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	return err
}

func TestPromote(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	card := server.AddUserCard(membercard.UserCard{OpenID: "o-1"})
	service := NewService(server.Client(), card)
	require.NoError(t, service.Promote(t.Context(), "钻石会员"))
	got, _ := server.UserCard(card.CardID, card.UserCardCode)
	assert.Equal(t, "钻石会员", got.Level)
}

func TestPromoteIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := membercardtest.NewTestServer(t)
		service := NewService(server.Client(), server.AddUserCard(membercard.UserCard{}))
		server.Inject(membercardtest.Fault{
			Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Header: http.Header{"Retry-After": {"3"}},
		})
		start := time.Now()
		require.NoError(t, service.Promote(t.Context(), "钻石会员"))
		assert.Equal(t, 3*time.Second, time.Since(start)) // which took no time
	})
}

func TestLeaveWhenTheConnectionBreaks(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	card := server.AddUserCard(membercard.UserCard{})
	service := NewService(server.Client(), card)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true})
	require.NoError(t, service.Leave(t.Context()))
	assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode))
}

func TestPromoteSendsTheLevelAlone(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	service := NewService(server.Client(), server.AddUserCard(membercard.UserCard{CardID: "c-1", OpenID: "o-1"}))
	require.NoError(t, service.Promote(t.Context(), "钻石会员"))
	request := server.Requests()[0]
	assert.Equal(t, membercard.OperationUpdateUserCard, request.Operation)
	assert.JSONEq(t, `{"brand_id":"1004","card_id":"c-1","openid":"o-1","level":"钻石会员"}`, string(request.Body))
}

func TestAnOpenedCardIsConfirmed(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	template := server.AddCard(membercard.Card{})
	service := NewService(server.Client(), membercard.UserCard{})
	opened := server.OpenUserCard(template.CardID, "o-1") // what the user does
	answer := httptest.NewRecorder()
	server.Client().NotificationHandler(service.Notified).
		ServeHTTP(answer, server.NotificationRequest(&membercard.UserCardCreated{UserCard: opened}))
	assert.Equal(t, 204, answer.Code)
	card, _ := server.UserCard(template.CardID, opened.UserCardCode)
	assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
}
