// Knocks at a carbonnode as a stranger: connects with noise and yamux, opens the link protocol, and prints how it is refused.
//
//   node knock.test.mjs HOST PORT PEER_ID CHAIN_ID_HEX
//
// One JSON document per attempt on stdout: {"attempt", "code", "message"}. Frames: 4 bytes length, 1 byte kind, JSON (docs: network/wire.py).

// Node 20 has no Promise.withResolvers, which libp2p 3 needs.
if (Promise.withResolvers === undefined) {
  Promise.withResolvers = () => {
    let resolve, reject
    const promise = new Promise((yes, no) => { resolve = yes; reject = no })
    return { promise, resolve, reject }
  }
}

const { createLibp2p } = await import('libp2p')
const { noise } = await import('@chainsafe/libp2p-noise')
const { yamux } = await import('@chainsafe/libp2p-yamux')
const { tcp } = await import('@libp2p/tcp')
const { multiaddr } = await import('@multiformats/multiaddr')

const LINK = '/carbonnode/link/1'
const HELLO = 1
const REFUSED = 4

const [host, port, peerId, chainHex] = process.argv.slice(2)
const base64 = (bytes) => Buffer.from(bytes).toString('base64')

function frame (kind, text) {
  const payload = Buffer.from(text)
  const header = Buffer.alloc(5)
  header.writeUInt32BE(payload.length, 0)
  header.writeUInt8(kind, 4)
  return Buffer.concat([header, payload])
}

function hello (chainId, credential) {
  return frame(HELLO, JSON.stringify({
    version: 1,
    chain_id: base64(chainId),
    name: 'js-stranger',
    credential: base64(credential),
    nonce: base64(crypto.getRandomValues(new Uint8Array(32))),
    instance: base64(crypto.getRandomValues(new Uint8Array(16)))
  }))
}

async function knock (attempt, opening) {
  const node = await createLibp2p({ transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()] })
  await node.start()
  try {
    const connection = await node.dial(multiaddr(`/ip4/${host}/tcp/${port}/p2p/${peerId}`))
    const stream = await connection.newStream(LINK)
    if (opening !== null) stream.send(opening)
    const parts = []
    for await (const chunk of stream) parts.push(Buffer.from(chunk.subarray()))
    const answer = Buffer.concat(parts)
    if (answer.length < 5 || answer.readUInt8(4) !== REFUSED) throw new Error(`no refusal came, but ${answer.length} bytes`)
    const refusal = JSON.parse(answer.subarray(5, 5 + answer.readUInt32BE(0)).toString())
    console.log(JSON.stringify({ attempt, encryption: connection.encryption, multiplexer: connection.multiplexer, ...refusal }))
  } finally {
    await node.stop()
  }
}

const chain = Buffer.from(chainHex, 'hex')
await knock('without a certificate', hello(chain, []))
await knock('another chain', hello(Buffer.alloc(32), []))
await knock('a made-up certificate', hello(chain, Buffer.from('I am a member')))
await knock('silence', null)
