import com.lark.oapi.Client;
import com.lark.oapi.service.speech_to_text.v1.model.FileConfig;
import com.lark.oapi.service.speech_to_text.v1.model.FileRecognizeSpeechReq;
import com.lark.oapi.service.speech_to_text.v1.model.FileRecognizeSpeechReqBody;
import com.lark.oapi.service.speech_to_text.v1.model.FileRecognizeSpeechResp;
import com.lark.oapi.service.speech_to_text.v1.model.Speech;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.UUID;

/**
 * The text of a short recording, with the official SDK; only the base URL is not Feishu's.
 * Usage: FileRecognize FILE.pcm      16 kHz, 16 bit, mono, at most 60 s
 */
public class FileRecognize {
  public static void main(String[] arguments) throws Exception {
    if (arguments.length != 1 || System.getenv("APP_ID") == null || System.getenv("APP_SECRET") == null) {
      System.err.println("usage: FileRecognize FILE.pcm, with APP_ID and APP_SECRET in the environment");
      System.exit(2);
    }
    byte[] pcm = Files.readAllBytes(Path.of(arguments[0]));
    if (pcm.length == 0) {
      System.err.println(arguments[0] + " is empty: nothing was sent");
      System.exit(2);
    }
    Client client = Client.newBuilder(System.getenv("APP_ID"), System.getenv("APP_SECRET"))
        .openBaseUrl(System.getenv().getOrDefault("URL", "http://127.0.0.1:8300"))
        .build();

    String audio = Base64.getEncoder().encodeToString(pcm);
    FileRecognizeSpeechReq request = FileRecognizeSpeechReq.newBuilder()
        .fileRecognizeSpeechReqBody(FileRecognizeSpeechReqBody.newBuilder()
            .speech(Speech.newBuilder().speech(audio).build())
            .config(FileConfig.newBuilder()
                .fileId(UUID.randomUUID().toString().replace("-", "").substring(0, 16))
                .format("pcm")
                .engineType("16k_auto")
                .build())
            .build())
        .build();

    FileRecognizeSpeechResp response = client.speechToText().v1().speech().fileRecognize(request);
    if (!response.success()) {
      System.err.printf("%d %s (log id %s)%n", response.getCode(), response.getMsg(), response.getRequestId());
      System.exit(1);
    }
    System.out.println(response.getData().getRecognitionText());
    System.exit(0);
  }
}
