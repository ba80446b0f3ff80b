// Package membercardtest is a fake of WeChat Pay's membership card service, for tests of programs that
// use package membercard. The service has no sandbox, so the fake refuses what the real one refuses, as far as
// is known: the section The rules, below, says where each comes from.
//
//	func TestPromote(t *testing.T) {
//		server := membercardtest.NewTestServer(t)
//		card := server.AddUserCard(membercard.UserCard{OpenID: "o-1"})
//		service := NewService(server.Client(), card)
//		require.NoError(t, service.Promote(t.Context(), "钻石会员"))
//		got, _ := server.UserCard(card.CardID, card.UserCardCode)
//		assert.Equal(t, "钻石会员", got.Level)
//	}
//
// [Server] is an http.RoundTripper, so no socket is involved. It is an http.Handler as well: [Server.Start]
// listens on loopback for clients elsewhere. Cards that the server shows have their sensitive values in
// clear, those that a client reads have them encrypted, and both print as [sensitive]: compare what the client's
// Decrypt returns. Keys are made once for each process, the merchant's identity is that of the constants. Why
// something was refused, and what went wrong in a client or a notification handler, is in the test's log.
//
// # Recipes
//
// NewService and its methods stand for the code under test; recipes_test.go has them.
//
// Make the server inside a testing/synctest bubble to test retries, expiry and rates without waiting:
//
//	func TestPromoteIsRetried(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			server := membercardtest.NewTestServer(t)
//			service := NewService(server.Client(), server.AddUserCard(membercard.UserCard{}))
//			server.Inject(membercardtest.Fault{
//				Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Header: http.Header{"Retry-After": {"3"}},
//			})
//			start := time.Now()
//			require.NoError(t, service.Promote(t.Context(), "钻石会员"))
//			assert.Equal(t, 3*time.Second, time.Since(start)) // which took no time
//		})
//	}
//
// [Server.Inject] makes things go wrong, before or after the request was carried out. [Server.Effects] says
// how often it was:
//
//	func TestLeaveWhenTheConnectionBreaks(t *testing.T) {
//		server := membercardtest.NewTestServer(t)
//		card := server.AddUserCard(membercard.UserCard{})
//		service := NewService(server.Client(), card)
//		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true})
//		require.NoError(t, service.Leave(t.Context()))
//		assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode))
//	}
//
// [Server.Requests] shows what was sent, as it arrived:
//
//	func TestPromoteSendsTheLevelAlone(t *testing.T) {
//		server := membercardtest.NewTestServer(t)
//		service := NewService(server.Client(), server.AddUserCard(membercard.UserCard{CardID: "c-1", OpenID: "o-1"}))
//		require.NoError(t, service.Promote(t.Context(), "钻石会员"))
//		request := server.Requests()[0]
//		assert.Equal(t, membercard.OperationUpdateUserCard, request.Operation)
//		assert.JSONEq(t, `{"brand_id":"1004","card_id":"c-1","openid":"o-1","level":"钻石会员"}`, string(request.Body))
//	}
//
// [Server.NotificationRequest] makes what WeChat Pay posts to a merchant, for a handler under test.
// [NotificationFault] spoils it. [Server.Notify] delivers it to a NotifyURL on loopback instead, repeated and in
// copies if need be:
//
//	func TestAnOpenedCardIsConfirmed(t *testing.T) {
//		server := membercardtest.NewTestServer(t)
//		template := server.AddCard(membercard.Card{})
//		service := NewService(server.Client(), membercard.UserCard{})
//		opened := server.OpenUserCard(template.CardID, "o-1") // what the user does
//		answer := httptest.NewRecorder()
//		server.Client().NotificationHandler(service.Notified).
//			ServeHTTP(answer, server.NotificationRequest(&membercard.UserCardCreated{UserCard: opened}))
//		assert.Equal(t, 204, answer.Code)
//		card, _ := server.UserCard(template.CardID, opened.UserCardCode)
//		assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
//	}
//
// [Server.LimitRate] refuses what comes too fast, and [Server.RotateKey] takes the public key away. [WithCertificates] makes the
// merchant number one with platform certificates, and [WithBrandEdition] the caller a brand.
//
// For other languages there is a program, cmd/membercard-fake. [Control] is its other port: the methods of a Server as JSON over
// HTTP (control.md), and a page that shows the requests.
//
// # The rules
//
// The tables of parameters, the errors and the limits are read from contract/partner.json and contract/events.json. These hold the
// official pages of the partner edition with the text of 2026-08-08; contract/others.json has the
// security echo, the certificates and two operations whose pages were withdrawn, which are answered only with
// [WithWithdrawnOperations]. Each refusal says in the test's log where it comes from:
//
//   - documented, with the id of the page: its table of errors, or the rules of APIv3
//   - inferred, from pages that do not say it of this operation or this trigger
//   - observed in answers of the service that are on record
//   - membercardtest: a rule of this package, where nothing is known
//
// A request is judged in this order:
//
//   - an unknown path is 404 and a wrong method 405, without a body or a signature
//   - Accept and User-Agent must be there, and Content-Type is application/json when there is a body: 400 INVALID_REQUEST,
//     unsigned, before the signature is looked at. Wechatpay-Serial is there where the page requires it
//   - the signature: 401 SIGN_ERROR, unsigned, with a message for each cause. The serial number may be in lower case. The
//     most frequent wrong forms of the signed message are recognised and named. A write that is repeated with identical bytes is
//     answered as before and changes nothing, but for one that the rate did not permit. A nonce with other bytes is refused
//   - parameters that the page does not define, or in another place: 400 PARAM_ERROR, which names all of them.
//     [WithIDsInQuery] moves the contested ones to where the pages of 2025.06.22 have them
//   - required parameters, types, lengths in characters, enums and ranges; null, empty strings, names that are there
//     twice, characters of four UTF-8 bytes; times that are not RFC 3339: 400 PARAM_ERROR
//   - sensitive values must decrypt with RSA-OAEP and SHA-1 under the key that Wechatpay-Serial names. An id that names no
//     key is refused with sensitive values, and ignored without
//   - a PATCH that changes nothing is refused: a rule of this package
//   - then [Server.LimitRate], and the state
//
// State:
//
//   - a template that is unknown or of another brand, and a card that does not exist or is another user's: 404 NOT_FOUND
//   - a validity has the members of its type and no others, and the type of its template. FIX_TERM counts natural days:
//     its last one ends at midnight in China
//   - a card is answered only what its template asks for, in the documented formats
//   - a template has the fields that its type of code and its level need, and no others; two of a type for each brand are
//     in effect at most; its request number is used once, with the same content too
//   - an opened card ([Server.OpenUserCard]) is UNACTIVATED until it is confirmed, and with MERCHANT_ALLOCATE gets its code
//     from the confirm, whether opening succeeded or failed; one that failed is INVALID. A second confirm is 404
//   - a user has one card of a template: an import or a token for a member is refused. Who deleted a card
//     ([Server.DeleteUserCard]) is never imported again
//   - only an effective card is changed; an expired or invalid one is not invalidated. Invalidating or changing an invalid
//     template is refused: a rule of this package
//   - a template has one activity in effect; one that is over is neither changed nor terminated: a rule of this package
//   - points are absolute, tokens live one hour, those for the payment code ten minutes and once
//   - an exchange of points is answered once: another answer to the same record is refused, a rule of this package
//   - a feed's cell is of one of the templates 0 to 17, with a value for each of its places; its request number is used once
//   - an uploaded picture is JPG, BMP or PNG of at most 2 MB, its digest right, and only the meta part signed; the parts come
//     in any order, meta without a type if need be
//   - card_picture_url is of a host under qpic.cn, for "from the image upload only"
//
// Answers are signed, errors too, except 401, 404 and 405 as above. Messages are in Chinese; Accept-Language asks for en,
// zh-HK or zh-TW. Sensitive values are encrypted for the merchant, and times have milliseconds and the zone of China. Over a
// socket answers are compressed for clients that ask for it.
//
// Keys and notifications:
//
//   - there are no platform certificates, and /v3/certificates answers 404 RESOURCE_NOT_EXISTS. With [WithCertificates]
//     there are, encrypted with the APIv3 key; several that are valid take turns in signing, and when all have expired
//     the last signs on
//   - during the switch the request steers what signs the answer; every other notification is signed with the public key
//   - a notification is signed and encrypted as documented, personal data in clear, or encrypted once more with
//     [NotificationSealed]
//   - it is accepted by 200 and 204 alone, within 5 s. [NotificationRepeats] repeats it: every 60 s, at most 11 times, a
//     points question never
//
// # What is not modelled
//
// Rate limits, unless [Server.LimitRate] sets one; permissions; the binding of AppIDs and openids; the audit of texts and
// pictures, and the 1 MB of a card's picture; coupons and their stocks; joining with a payment order; the start of notifications
// by themselves, [Server.Notify] sends them.
//
// The fake may become stricter in minor versions, where the real service turns out to be.
package membercardtest
