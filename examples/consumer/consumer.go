// Package consumer is a stranger's program: a module of its own that requires the SDK as users do, without
// its test framework. It uses the core calls, every kind of field of Config, and the errors, so that a
// change that breaks users breaks it first.
//
//	cd examples/consumer
//	go test ./...
package consumer

import (
	"context"
	"crypto"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// Members is what such a program asks of the SDK: an interface of its own, not one of the SDK's.
type Members interface {
	GetUserCard(context.Context, membercard.GetUserCardRequest) (*membercard.UserCard, error)
	ListUserCards(context.Context, membercard.ListUserCardsRequest) (*membercard.ListUserCardsResponse, error)
	UpdateUserCard(context.Context, membercard.UpdateUserCardRequest) (*membercard.UserCard, error)
	InvalidateUserCard(context.Context, membercard.InvalidateUserCardRequest) (*membercard.UserCard, error)
	AllCards(context.Context, membercard.ListCardsRequest) iter.Seq2[*membercard.Card, error]
	Decrypt(membercard.Sensitive) (string, error)
}

var _ Members = (*membercard.Client)(nil)

// New makes a client from keys that are read elsewhere.
func New(key crypto.Signer, old crypto.Decrypter, publicPEM []byte, serial string, logger *slog.Logger) (*membercard.Client, error) {
	public, err := membercard.ParsePublicKey(publicPEM)
	if err != nil {
		return nil, err
	}
	return membercard.New(membercard.Config{
		MchID: "1900009191", CertificateSerial: serial, PrivateKey: key, PublicKeyID: "PUB_KEY_ID_1", PublicKey: public,
		PreviousKeys: []crypto.Decrypter{old}, HTTPClient: &http.Client{Transport: membercard.NewTransport()},
		AttemptTimeout: 5 * time.Second, Retry: membercard.RetryPolicy{MaxAttempts: 2, MinBackoff: time.Second, MaxBackoff: time.Minute},
		Throttle: func(ctx context.Context, _ membercard.Operation) error { return ctx.Err() }, Logger: logger,
		IDsInQuery: []membercard.Operation{membercard.OperationUpdateUserCard},
	})
}

// Level returns a member's level, "" for a stranger.
func Level(ctx context.Context, members Members, brandID, cardID, code, openID string) (string, error) {
	card, err := members.GetUserCard(ctx, membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID})
	if errors.Is(err, membercard.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return card.Level, nil
}

// Wrong tells what kind of failure an error is, for a metric.
func Wrong(err error) string {
	if apiError, ok := errors.AsType[*membercard.APIError](err); ok {
		return apiError.Code
	}
	if untrusted, ok := errors.AsType[*membercard.SignatureError](err); ok {
		return string(untrusted.Reason)
	}
	return "transport"
}
