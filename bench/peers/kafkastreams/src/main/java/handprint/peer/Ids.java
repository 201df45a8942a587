package handprint.peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.UUID;
import org.apache.kafka.common.utils.Utils;

/** Ids of stubs, and hashes of texts. */
final class Ids {
    private static final byte[] NAMESPACE = "handprint.stub.v1\0".getBytes(StandardCharsets.UTF_8);
    private static final ThreadLocal<MessageDigest> SHA256 = ThreadLocal.withInitial(() -> {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    });

    private Ids() {
    }

    /** The identity, 16 bytes, of an attacker that nobody has linked (docs/attribution.md, "Stub ids"). */
    static byte[] stub(String attacker) {
        byte[] text = attacker.getBytes(StandardCharsets.UTF_8);
        MessageDigest digest = SHA256.get();
        digest.update(NAMESPACE);
        byte[] sum = digest.digest(text);
        byte[] id = new byte[16];
        int hash = Utils.toPositive(Utils.murmur2(text));
        for (int i = 0; i < 4; i++) {
            id[i] = (byte) (hash >>> (24 - 8 * i));
        }
        System.arraycopy(sum, 0, id, 4, 12);
        id[6] = (byte) (id[6] & 0x0f | 0x80);
        id[8] = (byte) (id[8] & 0x3f | 0x80);
        return id;
    }

    /** An identity as text. */
    static String text(byte[] id) {
        ByteBuffer in = ByteBuffer.wrap(id);
        return new UUID(in.getLong(), in.getLong()).toString();
    }

    /** An identity's 16 bytes. */
    static byte[] bytes(String identity) {
        UUID id = UUID.fromString(identity);
        return ByteBuffer.allocate(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits()).array();
    }

    /** The store's key of a row: the identity, and the number of the primitive or, if it has none, its name. */
    static byte[] row(byte[] identity, Primitive primitive) {
        if (primitive.number >= 0) {
            byte[] key = Arrays.copyOf(identity, 17);
            key[16] = (byte) primitive.number;
            return key;
        }
        byte[] name = primitive.name.getBytes(StandardCharsets.UTF_8);
        byte[] key = Arrays.copyOf(identity, 17 + name.length);
        key[16] = (byte) 0xff;
        System.arraycopy(name, 0, key, 17, name.length);
        return key;
    }

    /** A 64-bit hash of a text: FNV-1a with a finalizer. */
    static long hash(String text) {
        long h = 0xcbf29ce484222325L;
        for (int i = 0; i < text.length(); i++) {
            h = (h ^ text.charAt(i)) * 0x100000001b3L;
        }
        h = (h ^ h >>> 32) * 0xd6e8feb86659fd93L;
        return h ^ h >>> 32;
    }
}
