// Package members is a small merchant service on membercard, to show how such a service is tested on
// the fake WeChat Pay: see members_test.go.
//
//	go test ./examples/unittest
package members

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// ErrNoMember means that the user has no usable card.
var ErrNoMember = errors.New("the user is not a member")

// Service manages the members of one brand's card.
type Service struct {
	Client  *membercard.Client
	BrandID string
	CardID  string
}

// Find returns a user's usable card.
func (s *Service) Find(ctx context.Context, openID string) (*membercard.UserCard, error) {
	for card, err := range s.Client.AllUserCards(ctx, membercard.ListUserCardsRequest{
		BrandID: s.BrandID, OpenID: openID, UserCardState: membercard.UserCardStateEffective,
	}) {
		if err != nil {
			return nil, fmt.Errorf("find member: %w", err)
		}
		if card.CardID == s.CardID {
			return card, nil
		}
	}
	return nil, ErrNoMember
}

// Promote changes a member's level.
func (s *Service) Promote(ctx context.Context, openID, level string) error {
	card, err := s.Find(ctx, openID)
	if err != nil {
		return err
	}
	_, err = s.Client.UpdateUserCard(ctx, membercard.UpdateUserCardRequest{
		BrandID: s.BrandID, CardID: s.CardID, UserCardCode: card.UserCardCode, OpenID: openID,
		Level: &level,
	})
	if err != nil {
		return fmt.Errorf("promote member: %w", err)
	}
	return nil
}

// Leave invalidates a member's card for good. When the outcome of the call is unknown it reads the card
// to find out, so that nobody is told the wrong thing.
func (s *Service) Leave(ctx context.Context, openID string) error {
	card, err := s.Find(ctx, openID)
	if err != nil {
		return err
	}
	_, err = s.Client.InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{
		BrandID: s.BrandID, CardID: s.CardID, UserCardCode: card.UserCardCode, OpenID: openID,
		InvalidReason: "用户申请注销",
	})
	if errors.Is(err, membercard.ErrOutcomeUnknown) {
		// With a context of its own: that of the call may be over, which is the usual reason.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		now, readErr := s.Client.GetUserCard(ctx, membercard.GetUserCardRequest{
			BrandID: s.BrandID, CardID: s.CardID, UserCardCode: card.UserCardCode, OpenID: openID,
		})
		if readErr == nil && now.UserCardState == membercard.UserCardStateInvalid {
			return nil
		}
		// It was not done so far, and the request may still be on its way: the caller sees the error, and looks again later.
	}
	if err != nil {
		return fmt.Errorf("invalidate card: %w", err)
	}
	return nil
}
