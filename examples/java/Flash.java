import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;

/**
 * The answer to an audio file of any usual format, as JSON; needs nothing but Java 11 or newer.
 * Usage: java Flash.java FILE [HOT WORD ...]
 */
public class Flash {
  public static void main(String[] arguments) throws Exception {
    if (arguments.length < 1 || System.getenv("KEY") == null) {
      System.err.println("usage: java Flash.java FILE [HOT WORD ...], with KEY in the environment");
      System.exit(2);
    }
    Path file = Path.of(arguments[0]);
    if (!Files.isRegularFile(file) || Files.size(file) == 0) {
      System.err.println(file + " is missing or empty: nothing was sent");
      System.exit(2);
    }
    String name = file.getFileName().toString();
    String hotWords = String.join(",", Arrays.copyOfRange(arguments, 1, arguments.length));
    HttpRequest request = HttpRequest
        .newBuilder(URI.create(System.getenv().getOrDefault("URL", "http://127.0.0.1:8300") + "/v1/audio/asr/flash"))
        .header("Authorization", "Bearer " + System.getenv("KEY"))
        .header("format", name.contains(".") ? name.substring(name.lastIndexOf('.') + 1).toLowerCase() : "wav")
        .header("hot-words", URLEncoder.encode(hotWords, StandardCharsets.UTF_8))
        .timeout(Duration.ofMinutes(10))
        .POST(HttpRequest.BodyPublishers.ofFile(file))
        .build();
    HttpResponse<String> response = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()
        .send(request, HttpResponse.BodyHandlers.ofString());
    System.out.println(response.body());
    System.exit(response.statusCode() == 200 ? 0 : 1);
  }
}
