package handprint.peer;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
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

    /** The identity of an attacker that nobody has linked (docs/attribution.md, "Stub ids"). */
    static String stub(String attacker) {
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
        String hex = HexFormat.of().formatHex(id);
        return hex.substring(0, 8) + '-' + hex.substring(8, 12) + '-' + hex.substring(12, 16) + '-'
                + hex.substring(16, 20) + '-' + hex.substring(20);
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
