// wechatpay-axios-plugin, a client that is not ours, against the fake program. The environment variable
// MEMBERCARD_FAKE_CONFIG names the config.json that the program wrote.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import plugin from 'wechatpay-axios-plugin';

const { Wechatpay, Rsa, Formatter } = plugin;

const file = process.env.MEMBERCARD_FAKE_CONFIG;
const config = JSON.parse(readFileSync(file));
const privateKey = readFileSync(join(dirname(file), config.private_key));
const publicKey = readFileSync(join(dirname(file), config.public_key));

function newClient(key = privateKey) {
  return new Wechatpay({
    mchid: config.mch_id,
    serial: config.certificate_serial,
    privateKey: key,
    certs: { [config.public_key_id]: publicKey },
    baseURL: `${config.base_url}/`,
  });
}

const base = 'v3/brand/partner/card-member/';
const client = newClient();
const cards = client.chain(`${base}cards`);
const userCards = client.chain(`${base}user-cards`);
const userCard = client.chain(`${base}user-cards/{user_card_code}`);
const invalidation = client.chain(`${base}user-cards/{user_card_code}/invalidate`);
const code = { user_card_code: encodeURIComponent(config.user_card_code) };
const ids = { brand_id: config.brand_id, card_id: config.card_id };
const user = { openid: config.openid };
const serial = { 'Wechatpay-Serial': config.public_key_id };

const read = () => userCard.get({ ...code, params: { ...ids, ...user } });
const encrypt = (text) => Rsa.encrypt(text, Rsa.from(publicKey, Rsa.KEY_TYPE_PUBLIC));
const decrypt = (text) => Rsa.decrypt(text, Rsa.from(privateKey, Rsa.KEY_TYPE_PRIVATE));

// refused expects an answer with this status and code.
async function refused(promise, status, errorCode) {
  const error = await promise.then(() => assert.fail('it was accepted'), (e) => e);
  assert.equal(error.response?.status, status, error.message);
  assert.equal(error.response.data.code, errorCode);
  return error.response.data;
}

test('read a card', async () => {
  const { data } = await read();
  assert.equal(data.user_card_code, config.user_card_code);
  assert.equal(data.user_card_state, 'EFFECTIVE');
  assert.equal(decrypt(data.phone_number), '13800000000');
});

test('list templates', async () => {
  const { data } = await cards.get({ params: { brand_id: config.brand_id, offset: 0, limit: 20 } });
  assert.equal(data.total_count, 1);
  assert.equal(data.data[0].card_id, config.card_id);
});

test('change a card with a phone number encrypted here, read it back and decrypt it here', async () => {
  const change = { ...ids, ...user, level: '钻石会员', phone_number: encrypt('13900000000') };
  const { data } = await userCard.patch(change, { ...code, headers: serial });
  assert.equal(data.level, '钻石会员');
  const { data: again } = await read();
  assert.equal(decrypt(again.phone_number), '13900000000');
  assert.equal(again.level, '钻石会员');
});

test('a phone number in clear text is refused', async () => {
  const change = { ...ids, ...user, phone_number: '13700000000' };
  const problem = await refused(
    userCard.patch(change, { ...code, headers: serial }), 400, 'PARAM_ERROR');
  assert.equal(problem.detail.field, '/phone_number');
  assert.ok(!JSON.stringify(problem).includes('13700000000'), 'the value is not repeated');
  const { data } = await read();
  assert.equal(decrypt(data.phone_number), '13900000000');
});

test('Wechatpay-Serial is required with encrypted fields, and this client does not set it by itself', async () => {
  const change = { ...ids, ...user, phone_number: encrypt('13700000000') };
  await refused(userCard.patch(change, code), 400, 'PARAM_ERROR');
});

test('a wrong signature is refused', async () => {
  const { privateKey: other } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const problem = await refused(
    newClient(other).chain(`${base}cards`).get({ params: { brand_id: config.brand_id, offset: 0, limit: 20 } }), 401, 'SIGN_ERROR');
  assert.equal(problem.detail.sign_information.method, 'GET');
});

test('a stale timestamp is refused', async () => {
  const now = Formatter.timestamp;
  Formatter.timestamp = () => now.call(Formatter) - 301;
  try {
    await refused(cards.get({ params: { brand_id: config.brand_id, offset: 0, limit: 20 } }), 401, 'SIGN_ERROR');
  } finally {
    Formatter.timestamp = now;
  }
});

test('a parameter in the wrong place is refused', async () => {
  const problem = await refused(
    userCard.patch({ ...ids, ...user, level: 'x' }, { ...code, params: { card_id: config.card_id }, headers: serial }), 400, 'PARAM_ERROR');
  assert.deepEqual(problem.detail.value, ['/query/card_id']);
});

test('a card that does not exist is not found', async () => {
  await refused(userCard.get({ user_card_code: '000000000000', params: { ...ids, ...user } }), 404, 'NOT_FOUND');
});

test('this client does not escape path values: escaping is up to the caller', async () => {
  // "A/B" as it is goes to another path, which is no API; escaped once it is a code that does not exist.
  await refused(userCard.get({ user_card_code: 'A/B', params: { ...ids, ...user } }), 404, undefined);
  await refused(userCard.get({ user_card_code: encodeURIComponent('A/B#1%'), params: { ...ids, ...user } }), 404, 'NOT_FOUND');
});

test('invalidate', async () => {
  const { data } = await invalidation.post({ ...ids, ...user, invalid_reason: '用户申请注销' }, code);
  assert.equal(data.user_card_state, 'INVALID');
  assert.equal(data.invalid_reason, '用户申请注销');
});

test('list the cards of a user', async () => {
  const { data } = await userCards.get({ params: { brand_id: config.brand_id, ...user, offset: 0, limit: 20 } });
  assert.equal(data.total_count, 1);
  assert.equal(data.data[0].user_card_state, 'INVALID');
  const { data: none } = await userCards.get({ params: { brand_id: config.brand_id, ...user, user_card_state: 'EFFECTIVE', offset: 0, limit: 20 } });
  assert.equal(none.total_count, 0);
});
