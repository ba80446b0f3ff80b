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
// clear, those that a client reads have them sealed, and both print as [sensitive]: compare what the client's
// Decrypt returns. Keys are made once for each process, the merchant's identity is that of the constants. Why
// something was refused, and what went wrong in a client or a notification handler, is in the test's log.
//
// # Recipes
//
// NewService and its methods stand for the code under test; recipes_test.go has them.
//
// Repeats, expiry and rates take no time in a testing/synctest bubble, in which the server is made as well:
//
//	func TestPromoteIsRepeated(t *testing.T) {
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
//		service := NewService(server.Client(), server.AddUserCard(membercard.UserCard{OpenID: "o-1"}))
//		require.NoError(t, service.Promote(t.Context(), "钻石会员"))
//		request := server.Requests()[0]
//		assert.Equal(t, membercard.OperationUpdateUserCard, request.Operation)
//		assert.JSONEq(t, `{"brand_id":"1004","openid":"o-1","level":"钻石会员"}`, string(request.Body))
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
// [Server.LimitRate] refuses what comes too fast, [Server.RotateKey] takes the public key away,
// [WithCertificates] makes the merchant number one with platform certificates.
//
// # The rules
//
// They are checked in this order. Each says where it comes from: documented on an official page,
// inferred from related pages and official code, or of this house.
//
// Authentication; a refusal is 401 SIGN_ERROR, unsigned, and says what was verified:
//
//   - scheme WECHATPAY2-SHA256-RSA2048 and the five items, in any order: documented
//   - merchant number and certificate serial are the configured ones: documented
//   - the timestamp is at most 5 minutes off, either way: documented
//   - the signature covers the method, the path and query as on the request line, time, nonce and the
//     body's bytes: documented. The most frequent wrong forms are recognised and named
//   - a repeat of identical bytes is answered as before and changes nothing, a nonce with other bytes is
//     refused: of this house
//
// Headers; a refusal is 400 INVALID_REQUEST:
//
//   - Accept and User-Agent must be there: documented; the status is inferred. Accept may admit JSON by
//     a wildcard, as the official Go SDK sends it: inferred
//   - Content-Type is application/json when there is a body: documented; the code is of this house
//   - Wechatpay-Serial is required where the page says so (requests with sensitive values):
//     documented; the code is of this house. An id that is not the server's is refused everywhere, and so
//     is the serial number of an expired certificate: of this house
//
// Parameters; a refusal is 400 PARAM_ERROR:
//
//   - a parameter the page does not define, or in another place, is refused: inferred from the gateway's
//     behaviour on other APIv3 pages. The places are those of the pages of 2025.06.22; [WithIDsInBody]
//     moves the contested ones
//   - required parameters, lengths in characters, enums, integers' ranges, at most one custom field:
//     documented
//   - what belongs to each kind of valid_date_information must be there, what does not belong may: the
//     first is inferred, the second documented by the samples. Its type is required: inferred
//   - null, an empty string, a name that is there twice, characters of four UTF-8 bytes: null and the
//     characters documented, the others inferred
//   - sensitive values must decrypt with RSA-OAEP and SHA-1 under the key that Wechatpay-Serial names;
//     clear text is refused: documented, the code is inferred
//   - a PATCH that changes nothing is refused: of this house
//
// State:
//
//   - a template that is unknown or of another brand: 400 INVALID_REQUEST, documented
//   - a user card that does not exist, or is another user's: 404 NOT_FOUND, documented for GetUserCard,
//     inferred for the others
//   - an invalid card is neither changed nor invalidated again: 400 INVALID_REQUEST, of this house; what
//     the service answers is not documented
//   - a request number with the same content gives what it made before, with other content it is 400
//     ALREADY_EXISTS: the first documented by the fields' names, the second inferred from a sibling product.
//     The same for the record_id of a swap of points, with 400 INVALID_REQUEST: inferred
//   - only cards of type NORMAL can be created: documented in the brand edition, the code is of this house.
//     init_level goes with need_display_level, code_jump_information with JUMP_MINI_PROGRAM: documented
//   - card_picture_url is of a host under qpic.cn: of this house, for "from the image upload only"
//   - an opened card (OpenUserCard) is UNACTIVATED until it is confirmed, and with MERCHANT_ALLOCATE gets its
//     code from the confirm, whether opening succeeded or failed: documented. One that failed is INVALID, and
//     a second confirm is 400 INVALID_REQUEST: of this house
//   - an import makes a card EFFECTIVE without a confirm: documented. Its code must be new and its validity
//     of the template's type, and FIX_TERM needs pickup_time: inferred. Import by phone works here, though
//     the service has only announced it
//   - the template number of a feed's cell is from 0 to 17: documented. What follows it is not looked at
//   - points are absolute, tokens live one hour, those for the payment code ten minutes and once, activities
//     change their state with the time: documented
//   - points, feeds and swaps need a card that exists, points and feeds one that is EFFECTIVE; an activity
//     that is over is neither changed nor terminated; one that does not exist is 404 NOT_FOUND: inferred
//   - an uploaded picture is JPG, BMP or PNG of at most 2 MB, its digest right, and only the meta part
//     signed: documented
//   - a card past its validity is EXPIRED: documented. Relative validity counts from pickup_time:
//     inferred
//   - data is left out of an empty list: documented as optional
//
// Answers are signed, errors too, except 401: inferred. Sensitive values are sealed for the merchant, and
// times have milliseconds, as in the official samples. Over a socket answers are compressed for clients
// that ask for it: of this house.
//
// Keys and notifications:
//
//   - there are no platform certificates, and /v3/certificates answers 404 RESOURCE_NOT_EXISTS: reported by
//     users for new merchant numbers. With [WithCertificates] there are, encrypted with the APIv3 key:
//     documented
//   - several valid certificates take turns in signing: documented as a growing share. When all have expired the
//     last signs on: of this house
//   - during the switch the request steers what signs the answer: documented. Every other notification is
//     signed with the public key: of this house, for a share that grows by the day
//   - a notification is signed and encrypted as documented; with personal data in clear, as in the official
//     sample, or sealed once more with [NotificationSealed]: the pages disagree
//   - it is accepted by 200 and 204 alone, within 5 s: documented. It is repeated only when asked for:
//     the two schedules that are documented take a day and eleven minutes
//
// # What is not modelled
//
// Rate limits, unless [Server.LimitRate] sets one; permissions; the binding of AppIDs and openids; coupons
// and their stocks; joining with a payment order; the start of notifications by themselves, [Server.Notify]
// sends them.
//
// The fake may become stricter in minor versions, where the real service turns out to be.
package membercardtest
