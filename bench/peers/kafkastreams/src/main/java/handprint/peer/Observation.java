package handprint.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.regex.Pattern;

/** An observation, as far as the job needs it: hashes of the attacker and the evidence; the value is canonical JSON. */
record Observation(long attacker, Primitive primitive, String value, double ts, long evidence) {
    private static final JsonFactory JSON = new JsonFactory();
    private static final Pattern NAME = Pattern.compile("[a-z0-9_]+(\\.[a-z0-9_]+)+");

    /** Why a record cannot be used. */
    static final class BadRecord extends Exception {
        BadRecord(String reason) {
            super(reason, null, false, false);
        }
    }

    static Observation parse(byte[] record) throws BadRecord {
        String attacker = null;
        String primitive = null;
        String value = null;
        String evidence = null;
        double ts = -1;
        try (JsonParser p = JSON.createParser(record)) {
            if (p.nextToken() != JsonToken.START_OBJECT) {
                throw new BadRecord("not an object");
            }
            while (p.nextToken() == JsonToken.FIELD_NAME) {
                String field = p.currentName();
                JsonToken token = p.nextToken();
                switch (field) {
                    case "attacker_uuid" -> attacker = text(p, token);
                    case "primitive" -> primitive = text(p, token);
                    case "evidence_ref" -> evidence = text(p, token);
                    case "ts" -> ts = token.isNumeric() ? p.getDoubleValue() : -1;
                    case "value" -> value = Canonical.read(p);
                    default -> p.skipChildren();
                }
            }
        } catch (IOException e) {
            throw new BadRecord("not decodable: " + e.getMessage());
        }
        if (attacker == null || primitive == null || value == null || evidence == null) {
            throw new BadRecord("a required field is missing");
        }
        if (!(ts >= 0 && ts < Double.POSITIVE_INFINITY)) {
            throw new BadRecord("ts is not a time");
        }
        Primitive known = Primitive.of(primitive);
        Kind kind = known.kind;
        if (kind == Kind.UNREGISTERED && !NAME.matcher(primitive).matches()) {
            throw new BadRecord("primitive is not a name");
        }
        if (!kind.fits(value)) {
            throw new BadRecord("value does not fit " + kind);
        }
        return new Observation(Ids.hash(attacker), known, value, ts, Ids.hash(evidence));
    }

    private static String text(JsonParser p, JsonToken token) throws IOException {
        return token == JsonToken.VALUE_STRING && p.getTextLength() > 0 ? p.getText() : null;
    }

    private static final ThreadLocal<ByteBuffer> SCRATCH = ThreadLocal.withInitial(() -> ByteBuffer.allocate(1 << 22));

    /** What goes over the repartition topic. */
    byte[] toBytes() {
        ByteBuffer out = SCRATCH.get().clear();
        Binary.putVarint(out, primitive.number + 1);
        if (primitive.number < 0) {
            Binary.putText(out, primitive.name);
        }
        int number = primitive.number(value);
        Binary.putVarint(out, number + 1);
        if (number < 0) {
            Binary.putText(out, value);
        }
        Binary.putTime(out, ts, 0);
        out.putLong(attacker).putLong(evidence);
        return Arrays.copyOf(out.array(), out.position());
    }

    static Observation fromBytes(byte[] bytes) {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        int at = (int) Binary.getVarint(in) - 1;
        Primitive primitive = at < 0 ? Primitive.of(Binary.getText(in)) : Primitive.of(at);
        int number = (int) Binary.getVarint(in) - 1;
        String value = number < 0 ? Binary.getText(in) : primitive.value(number);
        double ts = new Binary.Times().next(in);
        return new Observation(in.getLong(), primitive, value, ts, in.getLong());
    }
}
